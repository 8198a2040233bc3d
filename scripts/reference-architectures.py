"""
Reference numbers for test/model/architectures.test.ts: small models of each architecture with weights that a formula gives, and what
Hugging Face's transformers computes with them.

    python3 -m venv DIR && DIR/bin/pip install torch transformers==5.23.0
    DIR/bin/python scripts/reference-architectures.py [NAME…]

Writes test/model/architectures/*.json. Each has the model's `config`, the shapes of its tensors by their names, and for some prompts the
logits after the last token and the ids that follow greedily, computed in float64; `gap` is the smallest difference between the best
and the second logit on the way, `f32` the largest between logits of float64 and of float32. Where rotation is scaled, `inv_freq` and
`attention_factor` are transformers' own.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

transformers.logging.set_verbosity_error()
out = pathlib.Path(__file__).resolve().parent.parent / "test" / "model" / "architectures"


def weights(name, shape, plus_one):
    """Numbers by their index and the tensor's name; `referenceWeights` of the test gives the same bits."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    h = np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    h *= np.uint32(3266489917)
    h ^= h >> np.uint32(16)
    unit = (h >> np.uint32(8)).astype(np.float32) * np.float32(2**-23) - np.float32(1)
    if len(shape) == 1 and "norm" in name:
        return (unit * np.float32(0.25) + np.float32(1 if plus_one else 0)).reshape(shape)
    scale = 1 if "embed_tokens" in name else 0.5 if len(shape) == 1 or "lm_head" in name else 0.25
    return (unit * np.float32(scale)).reshape(shape)


base = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


def model(architecture, model_type, **own):
    config = {"architectures": [architecture], "model_type": model_type, **base, **own}
    return {name: value for name, value in config.items() if value is not ...}


llama3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
gemma = {
    "head_dim": 16,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 20,
    "sliding_window": 8,
    "tie_word_embeddings": ...,
    "rms_norm_eps": 1e-6,
}
models = {
    "llama": model("LlamaForCausalLM", "llama", rope_theta=50000.0, hidden_act="silu", head_dim=16),
    "llama-biases": model("LlamaForCausalLM", "llama", attention_bias=True, mlp_bias=True, hidden_act="gelu"),
    "llama-llama3": model(
        "LlamaForCausalLM", "llama", rope_theta=500000.0, rope_scaling={"rope_type": "llama3", **llama3}, head_dim=32,
        tie_word_embeddings=True, eos_token_id=[2, 5],
    ),
    "llama-linear": model("LlamaForCausalLM", "llama", rope_scaling={"type": "linear", "factor": 4.0}),
    "llama-dynamic": model("LlamaForCausalLM", "llama", rope_scaling={"type": "dynamic", "factor": 4.0}),
    "llama-nested": model(
        "LlamaForCausalLM", "llama", rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, **llama3}
    ),
    "mistral": model("MistralForCausalLM", "mistral", sliding_window=8, head_dim=16, rope_theta=1000000.0),
    "mistral-whole": model("MistralForCausalLM", "mistral", sliding_window=None, hidden_act="silu"),
    "qwen2": model("Qwen2ForCausalLM", "qwen2", sliding_window=8, use_sliding_window=False, max_window_layers=2),
    "qwen2-yarn": model(
        "Qwen2ForCausalLM", "qwen2", sliding_window=8, use_sliding_window=True, max_window_layers=2, rope_theta=1e6,
        rope_scaling=yarn,
    ),
    "qwen3": model("Qwen3ForCausalLM", "qwen3", head_dim=32, rope_theta=1e6, attention_bias=False),
    "qwen3-biases": model(
        "Qwen3ForCausalLM", "qwen3", head_dim=16, attention_bias=True,
        rope_scaling={
            **yarn, "original_max_position_embeddings": 2048, "mscale": 1.0, "mscale_all_dim": 0.8, "beta_fast": 16, "truncate": False
        },
    ),
    "smollm3": model("SmolLM3ForCausalLM", "smollm3", tie_word_embeddings=..., rope_theta=..., pad_token_id=0),
    "smollm3-listed": model(
        "SmolLM3ForCausalLM", "smollm3", no_rope_layers=[1, 0, 0, 1], use_sliding_window=True, sliding_window=8,
        rope_theta=50000.0, pad_token_id=0,
    ),
    "phi3": model(
        "Phi3ForCausalLM", "phi3", head_dim=..., partial_rotary_factor=0.5, sliding_window=12, pad_token_id=0,
        original_max_position_embeddings=64,
        rope_scaling={"type": "longrope", "short_factor": [1.0, 1.25, 1.5], "long_factor": [1.0, 2.0, 4.0]},
    ),
    "phi3-whole": model("Phi3ForCausalLM", "phi3", sliding_window=None, rope_scaling=None, pad_token_id=0),
    "granite": model(
        "GraniteForCausalLM", "granite", embedding_multiplier=3.0, attention_multiplier=0.125, residual_multiplier=0.4,
        logits_scaling=2.0, attention_bias=True, tie_word_embeddings=True,
    ),
    "gemma2": model("Gemma2ForCausalLM", "gemma2", **gemma, attn_logit_softcapping=4.0, final_logit_softcapping=20.0),
    "gemma3": model(
        "Gemma3ForCausalLM", "gemma3_text", **gemma, num_hidden_layers=7, rope_theta=1e6, rope_local_base_freq=10000.0,
        rope_scaling={"rope_type": "linear", "factor": 8.0}, sliding_window_pattern=3,
    ),
    "gemma3-nested": model(
        "Gemma3ForCausalLM", "gemma3_text", **gemma,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
        },
    ),
    "qwen3-moe": model(
        "Qwen3MoeForCausalLM", "qwen3_moe", head_dim=16, rope_theta=1e6, num_experts=9, num_experts_per_tok=3,
        moe_intermediate_size=40, norm_topk_prob=True, num_hidden_layers=3,
    ),
    "qwen3-moe-sparse": model(
        "Qwen3MoeForCausalLM", "qwen3_moe", num_experts=8, num_experts_per_tok=2, moe_intermediate_size=40, norm_topk_prob=False,
        decoder_sparse_step=2, mlp_only_layers=[3], num_hidden_layers=6, tie_word_embeddings=True,
    ),
    "mixtral": model(
        "MixtralForCausalLM", "mixtral", num_local_experts=8, num_experts_per_tok=2, sliding_window=None, hidden_act="silu",
        num_hidden_layers=3,
    ),
    "mixtral-stacked": model(
        "MixtralForCausalLM", "mixtral", num_local_experts=4, num_experts_per_tok=2, sliding_window=8, rope_theta=50000.0,
        num_hidden_layers=3, router_jitter_noise=0.0, output_router_logits=False,
    ),
    "olmo2": model("Olmo2ForCausalLM", "olmo2", rope_theta=500000.0, pad_token_id=0),
    "lfm2": model(
        "Lfm2ForCausalLM", "lfm2", rms_norm_eps=..., norm_eps=1e-5, intermediate_size=..., block_ff_dim=100, block_multiple_of=16,
        block_auto_adjust_ff_dim=True, block_ffn_dim_multiplier=1.0, conv_L_cache=3, conv_bias=False, rope_theta=1000000.0,
        layer_types=["conv", "full_attention", "conv", "conv"], tie_word_embeddings=..., pad_token_id=0,
    ),
    "lfm2-listed": model(
        "Lfm2ForCausalLM", "lfm2", rms_norm_eps=..., norm_eps=1e-6, block_auto_adjust_ff_dim=False, conv_L_cache=4,
        full_attn_idxs=[1, 3], tie_word_embeddings=..., tie_embedding=False, head_dim=16, num_hidden_layers=5, pad_token_id=0,
        conv_dim=48, conv_dim_out=48, block_dim=48, num_heads=4, block_norm_eps=1e-5, block_use_swiglu=True, use_pos_enc=True,
        conv_use_xavier_init=True, theta=1000000.0,
    ),
}

prompts = [[1, 17, 33, 250, 8], [1] + [3 + 7 * i % 290 for i in range(30)], [1] + [299 - 11 * i % 290 for i in range(50)]]
new_tokens = 12

# In memory, transformers 5 has all experts of a layer in one tensor; checkpoints have one for each, but for these.
stacked = {"mixtral-stacked"}
expert_names = {
    "qwen3_moe": ("mlp", "gate_proj", "up_proj", "down_proj"),
    "mixtral": ("block_sparse_moe", "w1", "w3", "w2"),
}


def in_files(name, model_type, key, shape):
    """The tensors of a checkpoint that one in memory is made of, one after another: names and shapes."""
    if model_type not in expert_names or name in stacked:
        return [(key, shape)]
    block, gate, up, down = expert_names[model_type]
    if ".mlp.gate." in key:
        return [(key.replace(".mlp.", f".{block}."), shape)]
    if ".experts." not in key:
        return [(key, shape)]
    layer = key.split(".mlp.")[0]
    count, rows, inputs = shape
    parts = [(gate, rows // 2), (up, rows // 2)] if key.endswith("gate_up_proj") else [(down, rows)]
    return [(f"{layer}.{block}.experts.{e}.{part}.weight", (own, inputs)) for e in range(count) for part, own in parts]


def check_names(net, shapes, folder):
    """transformers writes these names, too."""
    net.save_pretrained(folder)
    with safe_open(pathlib.Path(folder) / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(shapes), set(file.keys()) ^ set(shapes)


def greedy(net, prompt):
    """Logits after the prompt, ids, and the smallest gap between the best two. Each id by a whole pass, without a cache."""
    ids, first, gap = list(prompt), None, float("inf")
    for _ in range(new_tokens):
        logits = net(torch.tensor([ids]), use_cache=False).logits[0, -1]
        first = logits if first is None else first
        best = torch.topk(logits, 2).values
        gap = min(gap, float(best[0] - best[1]))
        ids.append(int(logits.argmax()))
    return first, ids[len(prompt) :], gap


def reference(name, config):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        net = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager").eval()
        if config["model_type"] in expert_names:
            # The usual way of experts has no float64.
            net.set_experts_implementation("eager")
        plus_one = not config["model_type"].startswith("gemma")
        tied = net.config.tie_word_embeddings
        shapes = {}
        with torch.no_grad():
            for key, tensor in net.state_dict().items():
                if tied and key == "lm_head.weight":
                    continue
                parts = in_files(name, config["model_type"], key, tuple(tensor.shape))
                for part, shape in parts:
                    shapes[part] = list(shape)
                values = np.concatenate([weights(part, shape, plus_one).reshape(-1) for part, shape in parts])
                tensor.copy_(torch.from_numpy(values.reshape(tuple(tensor.shape))))
            net.tie_weights()
            if name not in stacked and config["model_type"] in expert_names:
                check_names(net, shapes, folder)
            cases = []
            f32 = [greedy(net.float(), prompt) for prompt in prompts]
            net = net.double()
            for prompt, single in zip(prompts, f32):
                logits, ids, gap = greedy(net, prompt)
                cases.append(
                    {
                        "prompt": prompt,
                        "logits": [float(f"{value:.7g}") for value in logits.tolist()],
                        "ids": ids,
                        "gap": float(f"{gap:.3g}"),
                        "f32": float(f"{float((logits - single[0].double()).abs().max()):.3g}"),
                    }
                )
        made = {"made": f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, float64, eager"}
        rotary = net.model.rotary_emb
        if config.get("rope_scaling") and hasattr(rotary, "inv_freq"):
            made["inv_freq"] = [float(value) for value in rotary.inv_freq]
            made["attention_factor"] = float(rotary.attention_scaling)
        made |= {"config": config, "tensors": shapes, "cases": cases}
        (out / f"{name}.json").write_text(json.dumps(made) + "\n")
        print(name, [(case["gap"], case["f32"], max(map(abs, case["logits"]))) for case in cases])


out.mkdir(exist_ok=True)
for name in sys.argv[1:] or models:
    reference(name, models[name])
