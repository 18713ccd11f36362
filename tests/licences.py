"""What each direct requirement is for, and the table of docs/licences.md."""

import re
from collections.abc import Mapping
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = ("requirements.txt", "requirements-dev.txt")
# By name: what it is for, and what would replace it.
USES: Mapping[str, tuple[str, str]] = {
    "gradio": ("page, API, queue, MCP", "FastAPI and a page of our own"),
    "transformers": ("the reference engine; merging and training", "torch alone, a class a model"),
    "torch": ("tensors, for transformers", "nothing that transformers runs on"),
    "huggingface_hub": ("checkpoints and datasets of the Hub", "httpx and the Hub's HTTP API"),
    "pydantic": ("reads a persona strictly", "hand-written checks; Gradio brings it anyway"),
    "starlette": ("routes and middleware", "bare ASGI; Gradio brings it anyway"),
    "uvicorn": ("the server that Gradio starts", "hypercorn; Gradio brings it anyway"),
    "h11": ("HTTP/1.1 with bounded headers, for uvicorn", "httptools, which bounds nothing"),
    "httpx": ("errors of whoever fetches", "requests; gradio_client brings it anyway"),
    "cachetools": ("answers kept in memory up to a size", "an OrderedDict that is counted by hand"),
    "limits": ("reads rates such as `5/second; 60/minute`", "a regular expression"),
    "prometheus-client": ("counts and their text format", "OpenTelemetry's SDK"),
    "openvino": ("int8 models on a CPU", "onnxruntime"),
    "openvino-genai": ("continuous batching", "llama.cpp's server, at other texts for a seed"),
    "tokenizers": ("text to token ids and back", "tiktoken, for byte-level tokenizers"),
    "safetensors": ("weights without code in them", "GGUF; never pickle"),
    "numpy": ("arrays of both judges, and of weights", "torch, in processes that import it"),
    "accelerate": (
        "transformers loads onto a GPU and trains with it",
        "nothing: transformers asks",
    ),
    "gguf": ("merging reads the base file with it", "a base file in safetensors"),
    "pyarrow": ("parquet of prepared tweets", "polars, or JSON lines"),
    "regex": ("words and links of any script", "tables of Unicode's, kept by hand"),
    "charset-normalizer": ("names an archive's encoding", "an error that names none"),
    "python-dateutil": ("dates as people write them", "a list of formats"),
    "datasketch": ("near duplicates by MinHash", "a hundred lines of numpy"),
    "fsspec": ("an archive at an address", "httpx"),
    "jinja2": ("the card, by huggingface_hub", "string.Template"),
    "matplotlib": ("the picture of a training run", "an SVG written by hand"),
    "peft": ("LoRA", "two linear layers of our own"),
    "scikit-learn": ("fits the detector", "torch's logistic regression"),
    "scipy": ("intervals and tests", "a bootstrap in numpy"),
    "threadpoolctl": ("one thread where figures must repeat", "OMP_NUM_THREADS before the start"),
    "tqdm": ("progress", "a line a minute"),
    "trackio": ("a run's curves in a browser", "tensorboard"),
    "typer": ("the command line", "argparse"),
    "httpx2": ("names the Hub client's errors", "nothing while huggingface_hub uses it"),
    "axe-playwright-python": ("accessibility of the page", "axe-core itself, loaded as a script"),
    "mypy": ("types", "pyright"),
    "playwright": ("drives Chromium", "selenium"),
    "hypothesis": ("draws requests for the fuzz", "random, without shrinking"),
    "jsonschema": ("holds answers to the OpenAPI file's schemas", "fastjsonschema"),
    "openapi-spec-validator": ("checks the OpenAPI file", "jsonschema with the standard's schema"),
    "pytest": ("runs the tests", "unittest"),
    "gradio_client": ("calls the app as its users do", "httpx, but for what only it does"),
    "openai": ("asks our completions server as its users do", "httpx, but for what only it does"),
    "psutil": ("memory and processes in tests and benchmarks", "/proc, on Linux"),
    "pytest-randomly": ("random order", "pytest-random-order"),
    "pytest-xdist": ("a process a core", "several pytest commands"),
    "pyyaml": ("reads the README's front matter", "ruamel.yaml"),
    "ruff": ("lints and formats", "flake8, isort and black"),
    "schemathesis": ("draws calls from the OpenAPI file", "hypothesis over its schemas"),
    "trustme": ("certificates for a proxy of the tests", "the openssl command"),
}
# What a wheel bundles differs between builds of one version; its own licence comes first.
MAX_TERMS = 3
_BY_CLASSIFIER = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF",
}


def requirements() -> dict[str, tuple[str, str]]:
    """The pin and file of each direct requirement, by its name."""
    found: dict[str, tuple[str, str]] = {}
    for file in FILES:
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
            if match := re.match(r"([\w-]+)(?:\[[\w,]+\])?(.+)", line if line[0] != "-" else ""):
                found[match[1]] = (match[2].removeprefix("=="), file)
    return found


def licence(name: str) -> str:
    """What the installed package's own metadata says, as short as it can be said."""
    about = metadata(name)
    classifiers = [one.split(" :: ")[-1] for one in about.get_all("Classifier") or []]
    by_classifier = [_BY_CLASSIFIER[one] for one in classifiers if one in _BY_CLASSIFIER]
    written = str(about.json.get("license", "")).partition("\n")[0]
    stated = str(about.json.get("license_expression", ""))
    if len(terms := stated.split(" AND ")) > MAX_TERMS:
        stated = f"{terms[0]} and others"
    return stated or "".join(by_classifier[:1]) or written or "see its LICENSE file"


def licences_table() -> str:
    """The table of docs/licences.md, in Markdown."""
    rows = [
        f"| {name} | `{pin}` | {licence(name)} | {USES[name][0]} | {USES[name][1]} | "
        f"{'' if file == FILES[0] else 'no'} |"
        for name, (pin, file) in requirements().items()
    ]
    head = "| package | pinned | licence | what it is for | what would replace it | in the app |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])
