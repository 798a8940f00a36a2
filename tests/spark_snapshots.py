"""A program that tests run: reads snapshots of a topic by `headrace.replay.spark` on a cluster, as asked line by line.

Arguments: the archive's URL and the topic. For each snapshot's number on standard input it prints what Spark counts and
sums; at the end, how many tasks each executor ran.
"""

import json
import os
import sys

from pyspark.sql import SparkSession

import headrace.replay


def main() -> None:
    """Answer until standard input ends."""
    archive, topic = sys.argv[1:]
    session = (
        SparkSession.builder.config("spark.hadoop.fs.s3a.endpoint", os.environ["AWS_ENDPOINT_URL_S3"])
        .config("spark.hadoop.fs.s3a.endpoint.region", os.environ["AWS_REGION"])
        .config("spark.hadoop.fs.s3a.path.style.access", "true")
        .config("spark.hadoop.fs.s3a.access.key", os.environ["AWS_ACCESS_KEY_ID"])
        .config("spark.hadoop.fs.s3a.secret.key", os.environ["AWS_SECRET_ACCESS_KEY"])
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    for line in sys.stdin:
        frame = headrace.replay.spark(session, topic, archive=archive, at=int(line))
        rows, users, pins, first, last = frame.selectExpr(
            "count(*)", "sum(user_id)", "sum(pin_id)", "min(_offset)", "max(_offset)"
        ).collect()[0]
        by_dt = {str(dt): count for dt, count in frame.groupBy("dt").count().collect()}
        found = {"rows": rows, "users": users, "pins": pins, "first": first, "last": last, "by_dt": by_dt}
        print(json.dumps(found), flush=True)
    executors = session.sparkContext._jsc.sc().statusStore().executorList(False)  # those that have ended too
    tasks = {executors.apply(at).id(): executors.apply(at).totalTasks() for at in range(executors.size())}
    print(json.dumps({id_: count for id_, count in tasks.items() if id_ != "driver"}), flush=True)
    session.stop()


if __name__ == "__main__":
    main()
