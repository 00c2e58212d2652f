"""What a reply says to whoever reads it, without what the model wrote for itself on the way there.

Reasoning models mark their thinking with tags, brackets or channels, and servers that do not part it hand it on in the text.
"""

import re

__all__ = ["visible_part"]

_TAGS = r"think(?:ing)?|thoughts?|reasoning(?:_content)?|reason|reflection|scratchpad|analysis|inner_monologue|seed:think|antthinking"
_OPEN = re.compile(
    rf"<\|?(?:{_TAGS}|begin_of_thought)(?:\s[^<>]*)?\|?>|◁think▷|\[THINK\]", re.IGNORECASE
)
_CLOSE = re.compile(
    rf"</(?:{_TAGS})\s*>|<\|(?:/(?:{_TAGS})|end_of_(?:thought|thinking))\|>|◁/think▷|\[/THINK\]",
    re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"(?:<\|start\|>\s*\w*\s*)?<\|channel\|>\s*(\w+).{0,200}?<\|message\|>(.*?)(?=<\|(?:start|channel|end|return|call)\|>|\Z)",
    re.DOTALL,
)
_END_MARKS = re.compile(
    r"<\|(?:end|return|im_end|eot_id|endoftext|end_of_turn|eom_id)\|>|</s>\s*\Z"
)
_SOLUTION = re.compile(r"<\|begin_of_solution\|>(.*?)(?:<\|end_of_solution\|>|\Z)", re.DOTALL)
_ANSWER = re.compile(
    r"\s*<(answer|final_answer|response|output)>((?:(?!</\1>).)*)(?:</\1>\s*)?", re.DOTALL
)


def visible_part(text: str, *, keeps_lone_tag: bool = False) -> str:
    """Return a reply without its thinking; what follows a mark that is never closed is thinking to the end.

    An opening mark counts at the start of a line, a closing mark anywhere: templates that open the thinking themselves leave only
    that in the reply. Of channels the last `final` one is the answer. A reply that is all inside `<answer>` is what stands there.

    Args:
        text: The reply.
        keeps_lone_tag: Whether `<answer>` stays where no thinking stands before it: of a free text it may be a part.
    """
    if not any(mark in text for mark in ("<", "◁", "[")):
        return text
    if channels := _CHANNEL.findall(text):
        finals = [said for name, said in channels if name == "final"]
        return finals[-1] if finals else ""
    visible = _without_thinking(text)
    if solution := _SOLUTION.search(visible):
        visible = solution.group(1)
    visible = _END_MARKS.sub("", visible) if "<" in visible else visible
    if keeps_lone_tag and visible == text:
        return text
    answer = _ANSWER.fullmatch(visible)
    return answer.group(2) if answer else visible


def _without_thinking(text: str) -> str:
    """Return what stands outside all thinking parts, read from left to right in one pass."""
    marks = [(found.start(), found.end(), True) for found in _OPEN.finditer(text)]
    marks += [(found.start(), found.end(), False) for found in _CLOSE.finditer(text)]
    marks.sort()
    last_close = max((start for start, _, is_open in marks if not is_open), default=-1)
    visible: list[str] = []
    place, depth = 0, 0
    for start, end, is_open in marks:
        if is_open and depth == 0:
            if start > last_close and not _begins_line(text, start):
                continue  # a word about the mark, as nothing closes it
            visible.append(text[place:start])
        if not is_open and depth == 0:
            visible.clear()  # the part was opened before the reply began
        depth = max(0, depth + (1 if is_open else -1))
        if not is_open and start == last_close:
            depth = 0  # what was opened inside is closed with it
        place = end
    if depth == 0:
        visible.append(text[place:])
    return "".join(visible)


def _begins_line(text: str, place: int) -> bool:
    return not text[text.rfind("\n", 0, place) + 1 : place].strip()
