"""What a score depends on besides the photo, as a text that a cache can compare."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import onnxruntime
import PIL

from siamese_nima.errors import ConfigError
from siamese_nima.scoring.model_file import ModelFile
from siamese_nima.scoring.panel import Panel

_PACKAGES = ("siamese-nima", "openvino", "pillow-heif", "rawpy")


def settings_of(panel: Panel, *, device: str) -> tuple[str, ...]:
    """One text per member: two photos with equal bytes and equal settings have equal scores.

    It names the model by the hash of its file, the view policy, the scale of decoding (a further
    model may ask for more pixels than a model needs by itself), and the programs that compute.

    Raises:
        ConfigError: A model is not from a file, so that nothing tells it from others.
    """
    programs = {"onnxruntime": onnxruntime.__version__, "pillow": PIL.__version__}
    programs |= {name: _version(name) for name in _PACKAGES}
    tail = " ".join(f"{name}={number}" for name, number in programs.items())
    texts = []
    for member in panel.members:
        if not isinstance(member.model, ModelFile):
            raise ConfigError(f"model {member.name!r} is not from a file; a cache needs its hash")
        texts.append(
            f"model={member.model.digest} view={member.view} decode_px={panel.decode_px} "
            f"device={device} {tail}"
        )
    return tuple(texts)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
