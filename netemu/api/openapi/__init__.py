"""What the API publishes about itself: OpenAPI v3 by group and version, and v2 as a whole.

kubectl needs v3 from 1.29 on (validation, explain, diff) and v2 in gnostic's protobuf form before.
All documents follow from the kinds; the server keeps what it built until the kinds change.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from netemu.api.openapi.v2 import V2_PROTOBUF_TYPE, v2_document, v2_protobuf
from netemu.api.openapi.v3 import v3_document, v3_index

__all__ = ["V2_PROTOBUF_TYPE", "v2_document", "v2_protobuf", "v3_document", "v3_index"]
