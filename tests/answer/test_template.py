"""Templates: data in, text out, no code; a mistake is named with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.answer import Template
from ratchet.core import Json, escape_template
from ratchet.core.errors import TemplateError

CASES: list[tuple[str, dict[str, Json], str]] = [
    ("Hi {{name}}!", {"name": "Zoë"}, "Hi Zoë!"),
    ("{{  name  }}", {"name": "x"}, "x"),
    ("{{{name}}}", {"name": "<b>&"}, "<b>&"),
    ("{{name}}", {"name": "<b>&"}, "<b>&"),
    ("{{a.b}} {{items.1}}", {"a": {"b": "x"}, "items": [1, 2]}, "x 2"),
    ("{{a.b.0.c}}", {"a": {"b": [{"c": "deep"}]}}, "deep"),
    ("{{n}} {{f}} {{t}} {{none}}|", {"n": 3, "f": 1.5, "t": True, "none": None}, "3 1.5 true |"),
    ("{{o}} {{l}}", {"o": {"k": "ä"}, "l": [1, "b"]}, '{"k": "ä"} [1, "b"]'),
    ("{{#if x}}yes{{/if}}", {"x": 1}, "yes"),
    ("{{#if x}}yes{{else}}no{{/if}}", {"x": ""}, "no"),
    ("{{#if x.y}}yes{{else}}no{{/if}}", {"x": {}}, "no"),
    ("{{#if x}}yes{{else}}no{{/if}}", {}, "no"),
    ("{{#unless x}}yes{{/unless}}", {"x": []}, "yes"),
    ("{{#unless x}}yes{{else}}no{{/unless}}", {"x": [0]}, "no"),
    ("{{#each l}}{{@index}}{{this}} {{/each}}", {"l": ["a", "b"]}, "0a 1b "),
    ("{{#each l}}{{this}}{{#unless @last}}, {{/unless}}{{/each}}", {"l": ["a", "b"]}, "a, b"),
    ("{{#each l}}{{#if @first}}<{{/if}}{{this}}{{/each}}", {"l": ["a", "b"]}, "<ab"),
    ("{{#each o}}{{@key}}={{this}};{{/each}}", {"o": {"a": 1, "b": 2}}, "a=1;b=2;"),
    ("{{#each l}}{{name}}{{this.name}} {{/each}}", {"l": [{"name": "x"}]}, "xx "),
    ("{{#each l}}{{name}}-{{out}} {{/each}}", {"l": [{"name": "x"}], "out": "o"}, "x-o "),
    ("{{#each l}}{{out}}{{/each}}{{out}}", {"l": [{"out": 1}], "out": 2}, "12"),
    ("{{#each l}}{{#if v}}{{v}}{{else}}?{{/if}}{{/each}}", {"l": [{"v": 1}, {}]}, "1?"),
    ("{{#each l}}x{{else}}none{{/each}}", {"l": []}, "none"),
    ("{{#each l}}x{{else}}none{{/each}}", {"l": None}, "none"),
    (
        "{{#each l}}{{#each this}}{{this}}{{@index}}{{/each}};{{/each}}",
        {"l": [["a", "b"], ["c"]]},
        "a0b1;c0;",
    ),
    ("{{#if a}}{{#unless b}}x{{else}}y{{/unless}}{{/if}}", {"a": 1, "b": 1}, "y"),
    ("a{{! left out }}b", {}, "ab"),
    ("a{{!-- {{left}} out\n --}}b", {}, "ab"),
    ("{ {a} } {a}} }}", {}, "{ {a} } {a}} }}"),
]


@pytest.mark.parametrize(("text", "values", "expected"), CASES)
def test_every_construct_renders(text: str, values: dict[str, Json], expected: str) -> None:
    """Each construct of the small language gives the text that its documentation says."""
    template = Template(text)

    assert template.render(values) == expected


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", [], {}])
def test_what_counts_as_nothing(value: Json) -> None:
    """Null, false, zero and what is empty are no for `if` and yes for `unless`."""
    template = Template("{{#if x}}if{{/if}}{{#unless x}}unless{{/unless}}")

    assert template.render({"x": value}) == "unless"


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_tags_is_itself(text: str) -> None:
    """Nothing happens to a text without `{{`."""
    assert Template(text).render({}) == text


@given(st.text())
def test_a_value_is_never_a_template(value: str) -> None:
    """A field's text is printed as it is, whatever tags or code it holds."""
    assert Template("<{{field}}>").render({"field": value}) == f"<{value}>"


PIECES = [
    "{{",
    "}}",
    "{",
    "}",
    "#if ",
    "/if",
    "#each ",
    "/each",
    "else",
    "this",
    "a",
    "b",
    ".0",
    ".²",
]


@given(st.lists(st.sampled_from([*PIECES, "!", "--", "@index", " ", "\n"])).map("".join))
def test_any_template_renders_or_is_refused(text: str) -> None:
    """A template is a text or a TemplateError, nothing else."""
    try:
        out = Template(text).render({"a": ["x", {"a": 1}]})
    except TemplateError:
        return

    assert isinstance(out, str)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("{{#if a}}x", 1, "{{#if}} is never closed by {{/if}}"),
        ("a\n\n{{#each a}}x", 3, "{{#each}} is never closed by {{/each}}"),
        ("{{#if a}}x{{else}}y", 1, "{{#if}} is never closed by {{/if}}"),
        ("\n{{#if a}}\n{{/each}}", 3, "{{#if}} is closed by {{/each}}"),
        ("\n{{/if}}", 2, "{{/if}} closes nothing"),
        ("\n{{else}}", 2, "{{else}} closes nothing"),
        ("{{#if a}}\n{{else}}\n{{else}}\n{{/if}}", 3, "{{#if}} has two {{else}}"),
        ("a\nb {{name\nc", 2, "{{ is never closed by }}"),
        ("{{a}}\n{{!-- never", 2, "{{ is never closed by }}"),
        ("\n{{#with a}}{{/with}}", 2, "unknown block {{#with}}; there are #if, #unless and #each"),
        ("\n{{}}", 2, "is no field name"),
        ("{{#if}}{{/if}}", 1, "is no field name"),
        ("\n{{this}}", 2, "{{this}} has a meaning only inside {{#each}}"),
        ("{{@index}}", 1, "{{@index}} has a meaning only inside {{#each}}"),
        ("{{#each a}}x{{else}}{{this}}{{/each}}", 1, "has a meaning only inside {{#each}}"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, problem: str) -> None:
    """A template that does not parse is refused at once, with the line and the mistake."""
    with pytest.raises(TemplateError) as caught:
        Template(text)

    assert str(caught.value).startswith(f"template, line {line}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("kind", ["if", "unless", "each"])
def test_blocks_nest_up_to_a_limit(kind: str) -> None:
    """A hundred blocks inside one another render; one more is refused with the limit, never a RecursionError."""
    deep = f"{{{{#{kind} a}}}}" * 100 + "x" + f"{{{{/{kind}}}}}" * 100
    value = [] if kind == "unless" else [1]
    siblings = f"{{{{#{kind} a}}}}x{{{{/{kind}}}}}" * 500

    assert Template(deep).render({"a": value}) == "x"
    assert Template(siblings).render({"a": value}) == "x" * 500
    for count in (101, 500, 5000):
        with pytest.raises(TemplateError, match="stands inside 100 other blocks"):
            Template(f"{{{{#{kind} a}}}}" * count + "x" + f"{{{{/{kind}}}}}" * count)


@pytest.mark.parametrize(
    "expression",
    ["1+1", "a()", "a b", "__import__('os')", "a|upper", "a[0]", "a=1", "%a", "a..b", "lambda: 1"],
)
def test_there_is_no_code(expression: str) -> None:
    """Anything but a name between the braces is refused."""
    with pytest.raises(TemplateError, match="is no field name"):
        Template(f"{{{{{expression}}}}}")


@pytest.mark.parametrize("path", ["a.__class__", "a.upper", "a.__len__", "l.append", "l.__class__"])
def test_there_are_no_attributes(path: str) -> None:
    """A dotted name reaches into data alone, never into Python objects."""
    template = Template(f"{{{{{path}}}}}")

    with pytest.raises(TemplateError, match="has no part"):
        template.render({"a": "text", "l": [1]})


def test_an_unknown_field_lists_the_fields() -> None:
    """A misspelt field is named before anything is rendered, with the fields that there are and the nearest one."""
    template = Template("{{txt}}")

    with pytest.raises(TemplateError) as caught:
        template.check({"text", "label"})

    assert str(caught.value) == (
        "the template uses the field 'txt'; the fields are 'label', 'text'. Did you mean 'text'?"
    )


@pytest.mark.parametrize("text", ["{{#if txt}}{{/if}}", "{{#each txt}}{{/each}}", "{{txt.a}}"])
def test_unknown_fields_in_blocks_are_found(text: str) -> None:
    """A block on a field that the task does not know is refused too."""
    with pytest.raises(TemplateError, match="uses the field 'txt'"):
        Template(text).check({"text"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n{{txt}}", r"line 2: there is no field 'txt'; the fields are 'l', 'text'\. Did you"),
        ("{{text.a}}", r"'text\.a' has no part 'a'"),
        ("{{l.9}}", r"'l\.9' has no part '9'"),
        ("{{l.²}}", r"'l\.²' has no part '²'"),
        ("\n{{#each text}}{{/each}}", r"line 2: {{#each}} wants a list or an object, got str"),
        ("{{#each l}}{{nme}}{{/each}}", r"there is no field 'nme'"),
        ("{{#each l}}{{@nope}}{{/each}}", r"there is no field '@nope'"),
    ],
)
def test_a_value_that_is_missing_is_named(text: str, problem: str) -> None:
    """What a text prints must be there when it is rendered."""
    template = Template(text)

    with pytest.raises(TemplateError, match=problem):
        template.render({"text": "x", "l": [1]})


def test_a_template_renders_the_same_each_time() -> None:
    """A template is parsed once and keeps no state between renderings."""
    template = Template("{{#each l}}{{this}}{{/each}}")

    outs = [template.render({"l": items}) for items in (["a"], ["b", "c"], ["a"])]

    assert outs == ["a", "bc", "a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\{{name}}", "{{name}}"),
        (r"\\{{name}}", r"\Zoë"),
        (r"\\\{{name}}", r"\{{name}}"),
        (r"a \ b \n {{name}}", r"a \ b \n Zoë"),
        (r"\{{#if x}} {{name}} \{{/if}}", "{{#if x}} Zoë {{/if}}"),
        (r"\{{", "{{"),
    ],
)
def test_a_backslash_keeps_braces_as_text(text: str, expected: str) -> None:
    """An odd number of backslashes makes the braces text, and each pair of them is one backslash."""
    assert Template(text).render({"name": "Zoë"}) == expected


@given(st.text(r"{}\# /!aelsif", max_size=30))
def test_any_text_can_be_escaped(text: str) -> None:
    """Escaped text is a template that renders as the text, uses no field, and may stand beside others."""
    template = Template(escape_template(text) + "\n{{name}}")

    assert template.names == {"name"}
    assert template.render({"name": "x"}) == f"{text}\nx"
