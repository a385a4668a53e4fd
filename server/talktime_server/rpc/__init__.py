"""The only rooms that know protobuf and gRPC."""
