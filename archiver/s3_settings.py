"""How S3 is spoken to beyond address and credentials: encryption, and whose bucket it must be.

One frozen value, made in cli/ and handed to each worker. What is not set is left to the bucket's defaults.
"""

import re
from dataclasses import dataclass
from typing import Any

SSE_KINDS = ("AES256", "aws:kms", "aws:kms:dsse")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Raises ValueError for what cannot be meant.

    sse: what each object is encrypted with: AES256 is S3's own key (SSE-S3), aws:kms a key of KMS.
    sse_kms_key_id: that key's id, ARN or alias; None is the account's default one.
    bucket_owner: the account, 12 digits, that the bucket must belong to; the store refuses every request otherwise.
    """

    sse: str | None = None
    sse_kms_key_id: str | None = None
    bucket_owner: str | None = None

    def __post_init__(self) -> None:
        if self.sse is not None and self.sse not in SSE_KINDS:
            raise ValueError(f"S3 encryption {self.sse!r} is none of {', '.join(SSE_KINDS)}")
        if self.sse_kms_key_id is not None and not (self.sse or "").startswith("aws:kms"):
            raise ValueError("a KMS key was named, and it is not used unless the encryption is aws:kms; set both")
        if self.bucket_owner is not None and not re.fullmatch(r"[0-9]{12}", self.bucket_owner):
            raise ValueError(f"bucket owner {self.bucket_owner!r} is no AWS account id, which has 12 digits")

    def for_each_request(self) -> dict[str, Any]:
        """Return what goes along with every request."""
        return {} if self.bucket_owner is None else {"ExpectedBucketOwner": self.bucket_owner}

    def for_each_put(self) -> dict[str, Any]:
        """Return what goes along with every object that is written."""
        key = {} if self.sse_kms_key_id is None else {"SSEKMSKeyId": self.sse_kms_key_id}
        return {} if self.sse is None else {"ServerSideEncryption": self.sse, **key}
