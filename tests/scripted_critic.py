"""What a scripted model says when it is asked to criticise, to revise, or to judge: it likes what is near to yes."""

import json
import re
from typing import Any


def likes_yes(request: dict[str, Any]) -> str:
    """Answer a chat request: critique, revision ('Sure, yes.'), score (1), or which of two answers is better, in whatever order they are shown."""
    text = request["messages"][1]["content"]
    if "critique alone" in text:
        return "It is too short."
    if "new answer alone" in text:
        return "Sure, yes."
    answers = re.findall(r"<<<BEGIN answer [AB] \w+>>>\n(.*?)\n<<<END", text, re.DOTALL)
    if not answers:
        return json.dumps({"score": 1})
    liked = [any(word in answer.lower() for word in ("yes", "sure")) for answer in answers]
    return json.dumps({"better": "tie" if liked[0] == liked[1] else "A" if liked[0] else "B"})
