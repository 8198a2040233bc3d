"""What transformers makes of the chat templates in test/model/templates: writes references.json beside them.

  pip install transformers==5.23.0 jinja2 && python scripts/reference-templates.py

A template that refuses a conversation has what it says under `refused`. Today is 7 March 2026.

With NAME=FOLDER for each tokenizer that there is, of FOLDER/tokenizer.json, it writes ids.json, too: the ids of what the template of
that name makes of each conversation, but for those that spell control tokens.
"""
import datetime
import json
import pathlib
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils


class Day(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 7, 12, 0, 0)


chat_template_utils.datetime = Day

here = pathlib.Path(__file__).parent.parent / "test" / "model" / "templates"
cases = json.loads((here / "cases.json").read_text("utf8"))
references = {}
for file in sorted(here.glob("*.jinja")):
    source = file.read_bytes().decode("utf8")
    of = references[file.stem] = {}
    for name, case in cases.items():
        try:
            [text], _ = chat_template_utils.render_jinja_template(
                [case["messages"]],
                tools=case.get("tools"),
                chat_template=source,
                add_generation_prompt=True,
                bos_token="<s>",
                eos_token="</s>",
                **case.get("variables", {}),
            )
            of[name] = {"text": text}
        except (jinja2.exceptions.TemplateError, TypeError) as error:
            of[name] = {"refused": str(error)}
how = f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}, scripts/reference-templates.py"
ids = {}
for name, folder in (argument.split("=", 1) for argument in sys.argv[1:]):
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json")
    ids[name] = {
        case: tokenizer.encode(made["text"], add_special_tokens=False)
        for case, made in references[name].items()
        if "text" in made and case != "controls"
    }
if ids:
    lines = [f"  {json.dumps(name)}: {{\n" + ",\n".join(f"   {json.dumps(case)}: {json.dumps(of)}" for case, of in made.items()) + "\n  }" for name, made in ids.items()]
    (here / "ids.json").write_text(f'{{\n "how": {json.dumps(how)},\n "ids": {{\n' + ",\n".join(lines) + "\n }\n}\n", "utf8")

out = {"how": how, "references": references}
(here / "references.json").write_text(json.dumps(out, ensure_ascii=False, indent=2) + "\n", "utf8")
