"""Server reflection: shows the contract to tools such as grpcurl. Off unless a setting turns it on; off, it is not there.

Version 1 and 1alpha have the same messages but for their package, so one reader serves both.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha.reflection_pb2 import (  # type: ignore[import-untyped]  # ships no types
    ErrorResponse,
    ExtensionNumberResponse,
    FileDescriptorResponse,
    ListServiceResponse,
    ServerReflectionRequest,
    ServerReflectionResponse,
    ServiceResponse,
)

from talktime_server.failure import Code, TooMuch
from talktime_server.rpc.decoding import decode
from talktime_server.rpc.shapes import EVERY_ROLE, Draining, Stream, Visit

PATHS = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
MAX_QUESTION_BYTES = 4096


class Reflection:
    """Answers what services there are and how their messages look."""

    def __init__(self, services: Iterable[str], pool: DescriptorPool | None = None) -> None:
        self._services = sorted(services)
        self._pool = pool or Default()

    def streams(self) -> list[Stream]:
        """The rows for the edge's table. Any valid token may look: the contract is no secret among callers."""
        return [Stream(path, EVERY_ROLE, self._serve) for path in PATHS]

    def answer(self, asked: ServerReflectionRequest) -> ServerReflectionResponse:
        """The answer to one question; what is not known is an answer too."""
        answer = ServerReflectionResponse(valid_host=asked.host, original_request=asked)
        try:
            self._fill(answer, asked)
        except KeyError:
            unknown = ErrorResponse(error_code=Code.NOT_FOUND, error_message="not found")
            answer.error_response.CopyFrom(unknown)
        return answer

    async def _serve(
        self, messages: AsyncIterator[bytes], visit: Visit
    ) -> AsyncGenerator[bytes, None]:
        async for body in messages:
            if len(body) > MAX_QUESTION_BYTES:
                text = f"the message is over {MAX_QUESTION_BYTES} bytes"
                raise TooMuch("MESSAGE_TOO_LARGE", text)
            yield self.answer(decode(ServerReflectionRequest, body)).SerializeToString()
            if visit.draining.is_set():
                raise Draining.now()

    def _fill(self, answer: ServerReflectionResponse, asked: ServerReflectionRequest) -> None:
        match asked.WhichOneof("message_request"):
            case "list_services":
                services = [ServiceResponse(name=name) for name in self._services]
                answer.list_services_response.CopyFrom(ListServiceResponse(service=services))
            case "file_by_filename":
                file = self._pool.FindFileByName(asked.file_by_filename)
                answer.file_descriptor_response.CopyFrom(_with_imports(file))
            case "file_containing_symbol":
                file = self._pool.FindFileContainingSymbol(asked.file_containing_symbol)
                answer.file_descriptor_response.CopyFrom(_with_imports(file))
            case "all_extension_numbers_of_type":
                name = asked.all_extension_numbers_of_type
                self._pool.FindMessageTypeByName(name)
                none = ExtensionNumberResponse(base_type_name=name)
                answer.all_extension_numbers_response.CopyFrom(none)
            case _:
                # Extensions do not exist in proto3 contracts as ours.
                raise KeyError


def _with_imports(file: FileDescriptor) -> FileDescriptorResponse:
    """The file and all it imports, each once."""
    files: dict[str, bytes] = {}
    left = [file]
    while left:
        file = left.pop()
        if file.name not in files:
            files[file.name] = file.serialized_pb
            left += file.dependencies
    return FileDescriptorResponse(file_descriptor_proto=files.values())
