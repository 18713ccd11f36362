"""OpenVINO, imported so that it reports to nobody.

Knows one thing: importing openvino sends statistics to its makers, unless the package that
sends them cannot be imported. Every module of ours that needs OpenVINO takes it from here.
"""

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402
import openvino_genai as genai  # noqa: E402
from openvino import opset13 as ops  # noqa: E402
from openvino.op.util import Variable, VariableInfo  # noqa: E402

__all__ = ["Variable", "VariableInfo", "genai", "ops", "ov"]
