"""
Reference numbers for test/peer/real-graphs.test.ts: what two real graphs give in onnxruntime and Hugging Face's tokenizers.

    node scripts/get-model.ts minilm DIR && node scripts/get-model.ts open-nsfw DIR
    python3 -m venv VENV && VENV/bin/pip install onnxruntime==1.30.0 tokenizers==0.23.3 numpy
    VENV/bin/python scripts/reference-graphs.py DIR

Writes test/peer/real-graphs.json: of each text its ids and its vector (mean over tokens that are no padding, of length 1), and of
three images, which a formula makes, the two scores.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = pathlib.Path(sys.argv[1])
out = pathlib.Path(__file__).resolve().parent.parent / "test" / "peer" / "real-graphs.json"

texts = [
    "How do I reset my password?",
    "I forgot the code that I log in with.",
    "The ferry to the islands leaves at seven.",
    "Der Mond ist aufgegangen. 昔々あるところに 🚀 </s>",
    "a " * 300,
]


def run(session, feeds):
    return session.run(None, feeds)[0]


def session(file):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


tokenizer = Tokenizer.from_file(str(folder / "minilm" / "tokenizer.json"))
tokenizer.no_padding()
minilm = session(folder / "minilm" / "model_quantized.onnx")
rows = []
for text in texts:
    ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    hidden = run(minilm, feeds)[0].astype(np.float64)
    mean = hidden.mean(axis=0)
    rows.append({"text": text, "ids": ids[0].tolist(), "vector": [round(v, 6) for v in (mean / np.linalg.norm(mean)).tolist()]})

nsfw = session(folder / "open_nsfw.onnx")
name = nsfw.get_inputs()[0].name
i = np.arange(3 * 224 * 224 * 3, dtype=np.int64).reshape(3, 224, 224, 3)
images = ((i * 7919) % 255 - 117).astype(np.float32)
scores = run(nsfw, {name: images})
out.write_text(
    json.dumps({"runtime": onnxruntime.__version__, "texts": rows, "input": name, "scores": scores.tolist()}, ensure_ascii=False) + "\n"
)
