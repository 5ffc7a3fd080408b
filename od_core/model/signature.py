"""What an exported detector takes and gives, found out from what its graph declares."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from od_core.closest_name import did_you_mean
from od_core.errors import ModelError
from od_core.model.files import ModelFormat, listed
from od_core.model.tensors import API_TENSORS, ROLES, ModelTensors

# The four inputs that the TensorFlow Object Detection API exports. In a frozen graph they are the placeholder's name;
# a SavedModel's signature calls them `inputs` (TF1) or `input_tensor` (TF2), so there the dtype tells.
INPUT_KINDS = ("image_tensor", "float_image_tensor", "encoded_image_string_tensor", "tf_example")
OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")

_DTYPES = dict(zip(INPUT_KINDS, ("uint8", "float32", "string", "string"), strict=True))
_PARSE_OPS = frozenset({"ParseExample", "ParseExampleV2", "ParseSingleExample", "ParseSingleExampleV2"})
_DECODE_OPS = frozenset({"DecodeImage", "DecodeJpeg", "DecodePng", "DecodeGif", "DecodeBmp", "DecodeAndCropJpeg"})

_EXPECTED = (
    "Expected what the TensorFlow Object Detection API exports (exporter_main_v2.py, export_inference_graph.py): "
    "one input, either uint8 or float32 images [batch, height, width, 3] or strings [batch] (encoded images or "
    f"tf.train.Examples), and the outputs {', '.join(OUTPUTS)}. A detector whose tensors have other names is run with "
    "--input_tensor, --output_tensors and --box_format."
)
_RANKS = dict(zip(ROLES.values(), (3, 2, 2, 1, 4, 4, 3), strict=True))


class TensorSpec(NamedTuple):
    """An input or output of a model as its graph declares it.

    name: its key in the signature, or its node in a frozen graph; tensor: its name in the graph; dtype: TensorFlow's
    name for it; shape: None where the rank is unknown, with None for sizes that are open.
    """

    name: str
    tensor: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sizes = "?" if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"


@dataclass(frozen=True)
class Signature:
    """How a model is fed and read.

    Attributes:
        format: frozen_graph or saved_model.
        input_kind: one of `INPUT_KINDS`.
        input_tensor: the graph's name of the input, such as `image_tensor:0`.
        output_tensors: output name (those in `OUTPUTS`, and what else the API names) -> the graph's name of it;
            without num_detections where a model of other names has none.
        batch_limit: the batch size that the input is fixed to; None where any is taken.
    """

    format: ModelFormat
    input_kind: str
    input_tensor: str
    output_tensors: Mapping[str, str]
    batch_limit: int | None


def find_signature(
    path: str,
    model_format: ModelFormat,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    operations: Collection[str],
    tensors: ModelTensors = API_TENSORS,
    keep: Collection[str] = (),
) -> Signature:
    """The signature of a detector, from all that a graph declares.

    Args:
        path: the model's place, for messages.
        model_format: a frozen graph's input is known by its name, a SavedModel's by being the only one.
        inputs: the placeholders of a frozen graph, or the inputs of a SavedModel's signature.
        outputs: the tensors with the API's names and the ends of a frozen graph, or the outputs of a signature; and
            what `tensors` names.
        operations: the kinds of operation in the graph and its functions, which tell one string input from the other.
        tensors: the names, where they are not the API's.
        keep: which of `model_tensors.SHAPES` it must give.

    Raises:
        ModelError: it is not a detector, or gives not what is to be kept; lists the inputs and outputs found and what
            was expected.
    """

    def refuse(reason: str) -> NoReturn:
        raise ModelError(
            f"{path} is not a detector that boxbeam can run: {reason}. Inputs found: {listed(inputs)}. "
            f"Outputs found: {listed(outputs)}. {_EXPECTED}"
        )

    source, kind = _find_input(model_format, inputs, operations, tensors, refuse)
    rank, channels = (1, None) if _DTYPES[kind] == "string" else (4, 3)
    if source.dtype != _DTYPES[kind] or (source.shape is not None and len(source.shape) != rank):
        refuse(f"its input {source} is not {_DTYPES[kind]} of rank {rank}")
    if channels and source.shape is not None and source.shape[-1] not in (None, channels):
        refuse(f"its input {source} does not take images of {channels} channels")

    if tensors.outputs:
        given = {name: _named(wanted, outputs, "output", refuse) for name, wanted in tensors.output_names.items()}
        for name, spec in given.items():
            if spec.shape is not None and len(spec.shape) != _RANKS[name]:
                refuse(f"its output {spec} cannot be {name}, which are of rank {_RANKS[name]}")
    else:
        given = {spec.name: spec for spec in outputs if spec.name in OUTPUTS or "detection_" in spec.name}
        if missing := [name for name in OUTPUTS if name not in given]:
            refuse(f"it has no output {', '.join(missing)}")
    for role in keep:
        if (name := ROLES[role]) not in given:
            named = f", named as {role}=NAME in --output_tensors" if tensors.outputs else ""
            refuse(f"it has no output {name}{named}, which is to be kept (--keep {role})")
    for name in (*OUTPUTS, *(ROLES[role] for role in keep)):
        if name not in given:
            continue
        if given[name].dtype != "float32" and not (name in OUTPUTS[2:] and given[name].dtype.startswith("int")):
            refuse(f"its output {given[name]} is not float32")
    batch_limit = source.shape[0] if source.shape is not None else None
    names = {name: spec.tensor for name, spec in given.items()}
    return Signature(model_format, kind, source.tensor, names, batch_limit)


_Refuse = Callable[[str], NoReturn]


def _find_input(
    model_format: ModelFormat,
    inputs: Sequence[TensorSpec],
    operations: Collection[str],
    tensors: ModelTensors,
    refuse: _Refuse,
) -> tuple[TensorSpec, str]:
    """The input for images, and its kind."""
    by_name = model_format == "frozen_graph" and tensors.input is None
    if tensors.input is not None:
        named = [_named(tensors.input, inputs, "input", refuse)]
    else:
        named = [spec for spec in inputs if spec.name in INPUT_KINDS] if by_name else list(inputs)
    if len(named) != 1:
        names = f" named {' or '.join(INPUT_KINDS)}" if by_name else ""
        refuse(f"it has {len(named)} inputs{names} instead of one")
    source = named[0]
    kind = source.name if by_name else _input_kind(source, operations)
    if not kind:
        refuse(
            f"nothing in its graph decodes the strings of its input {source}"
            if source.dtype == "string"
            else f"its input {source} is neither uint8 nor float32 nor string"
        )
    return source, kind


def _named(name: str, specs: Sequence[TensorSpec], what: str, refuse: _Refuse) -> TensorSpec:
    """The tensor that a person means by `name`: a key of the signature, a node, or a tensor with its number."""
    tensor = name if ":" in name else f"{name}:0"
    for spec in specs:
        if name == spec.name or tensor == spec.tensor:
            return spec
    refuse(f"it has no {what} called {name!r}{did_you_mean(name, [spec.name for spec in specs])}")


def _input_kind(source: TensorSpec, operations: Collection[str]) -> str | None:
    if source.dtype != "string":
        return next((kind for kind, dtype in _DTYPES.items() if dtype == source.dtype), None)
    if not _PARSE_OPS.isdisjoint(operations):  # parsing comes first: a graph that parses Examples decodes images too
        return "tf_example"
    return None if _DECODE_OPS.isdisjoint(operations) else "encoded_image_string_tensor"
