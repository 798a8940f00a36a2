"""Make `spark.lock` anew: run `python tests/spark_relock.py` after changing the versions here, and read the diff.

hadoop-aws asks for Amazon's whole SDK as one jar of 690 MB. Its modules exist one by one; these are the ones that
reading from S3 touches, found by leaving out what was never asked for. Netty and what both share are in Spark already.
"""

import tempfile
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from headrace.local.relock import row

HADOOP = "3.5.0"  # of the pyspark in use: see hadoop-client-api-*.jar in its jars/
SDK = "2.35.4"  # aws-java-sdk-v2.version in the POM hadoop-project of that Hadoop
SDK_MODULES = (
    *("s3", "s3-transfer-manager", "sts", "aws-core", "sdk-core", "auth", "regions", "arns", "crt-core", "profiles"),
    *(
        "http-client-spi",
        "apache-client",
        "netty-nio-client",
        "aws-xml-protocol",
        "aws-query-protocol",
        "protocol-core",
    ),
    *("http-auth", "http-auth-spi", "http-auth-aws", "http-auth-aws-eventstream", "identity-spi", "endpoints-spi"),
    *("checksums", "checksums-spi", "retries", "retries-spi", "utils", "utils-lite", "annotations", "json-utils"),
    *("metrics-spi", "third-party-jackson-core"),
)
COORDINATES = (
    f"org.apache.hadoop:hadoop-aws:{HADOOP}",
    "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1",
    *(f"software.amazon.awssdk:{module}:{SDK}" for module in SDK_MODULES),
    "software.amazon.eventstream:eventstream:1.0.1",
    "org.reactivestreams:reactive-streams:1.0.4",
)


def main() -> None:
    """Write the list beside this module; raise RuntimeError when a jar differs from its published checksum."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), local_repos=[], remote_repos={"central": MAVEN_CENTRAL_URL})
        rows = [row(context.create_dependency(each).artifact) for each in COORDINATES]
    head = "# Made by spark_relock.py: group:artifact:version, size in bytes, SHA-256.\n"
    Path(__file__).with_name("spark.lock").write_text(head + "".join(rows))


if __name__ == "__main__":
    main()
