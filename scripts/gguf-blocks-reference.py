#!/usr/bin/env python3
"""Blocks of each GGUF type with random bits, and what gguf-py (llama.cpp's own Python code) makes of them.

    pip install gguf==0.19.0 numpy && python scripts/gguf-blocks-reference.py > test/model/formats/gguf-blocks.json

One object a type: `bytes` of two rows of 256 weights, and `values`, float32 little-endian, both in base64.
"""
import base64
import json

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Where the float16 numbers of a block are, in bytes.
NUMBERS = {
    "F16": range(0, 2, 2), "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "BF16": [], "F32": [],
}
rng = np.random.default_rng(20261130)


def some_half():
    """Finite, below 4, of either sign; a few of the smallest numbers that there are."""
    value = np.float16((rng.random() * 2 - 1) * 2.0 ** rng.integers(-16, 2))
    return np.float16(6e-8) if rng.random() < 0.05 else value


result = {}
for name, places in NUMBERS.items():
    kind = GGMLQuantizationType[name]
    columns, size = GGML_QUANT_SIZES[kind]
    if name in ("F32", "BF16", "F16"):
        values = (rng.random((2, 256)) * 2 - 1).astype(np.float32)
        raw = {"F32": values, "F16": values.astype(np.float16), "BF16": (values.view(np.uint32) >> 16).astype(np.uint16)}[name]
        data = np.ascontiguousarray(raw).view(np.uint8).reshape(2, -1)
    else:
        data = rng.integers(0, 256, (512 // columns, size), dtype=np.uint8)
        for block in data:
            for place in places:
                block[place : place + 2] = np.array([some_half()]).view(np.uint8)
            if name == "MXFP4":
                block[0] = rng.integers(110, 130)
        data = data.reshape(2, -1)
    if name == "F32":
        back = values
    elif name == "F16":
        back = raw.astype(np.float32)
    elif name == "BF16":
        back = (raw.astype(np.uint32) << 16).view(np.float32)
    else:
        back = dequantize(data, kind).astype(np.float32)
    result[name] = {
        "bytes": base64.b64encode(data.tobytes()).decode(),
        "values": base64.b64encode(np.ascontiguousarray(back, dtype="<f4").tobytes()).decode(),
    }
print(json.dumps(result, indent=1))
