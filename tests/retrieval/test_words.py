"""Scripts without spaces, normal forms, marks: a word inside a sentence is found, and passages are of the size that was asked for."""

import pytest

from ratchet.core import Chunking, Passage
from ratchet.retrieval import Index, passages_of
from ratchet.retrieval.parse import Document, Section
from ratchet.retrieval.words import count_words, to_search_text

CHINESE = "我们的店铺每天早上九点开门。退货必须在三十天之内办理！运费由客户承担。会员可以享受免费送货服务。"
JAPANESE = (
    "当店は毎朝九時に開店します。返品は三十日以内にお願いします。送料はお客様のご負担となります。"
)
THAI = "ร้านของเราเปิดทุกวันเวลาเก้าโมงเช้า การคืนสินค้าต้องทำภายในสามสิบวัน ค่าจัดส่งลูกค้าเป็นผู้รับผิดชอบ"


def index_of(*texts):
    return Index([Passage(text=text, source=f"{n}.txt") for n, text in enumerate(texts)])


def found(index, query):
    return [one.passage.source for one in index.search(query, mode="lexical", k=3)]


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        (("店铺九点开门。", "退货必须在三十天之内办理。", "运费由客户承担。"), "退货"),
        (("店铺九点开门。", "退货必须在三十天之内办理。", "运费由客户承担。"), "三十天"),
        (("開店は九時です。", "返品は三十日以内です。", "送料はお客様負担です。"), "返品"),
        (("เปิดทุกวัน", "การคืนสินค้าภายในสามสิบวัน", "ค่าจัดส่ง"), "สินค้า"),
        (("ເປີດທຸກມື້", "ການສົ່ງຄືນສິນຄ້າ", "ຄ່າສົ່ງ"), "ສິນຄ້າ"),
        (("បើករាល់ថ្ងៃ", "ការប្រគល់ទំនិញវិញ", "ថ្លៃដឹក"), "ទំនិញ"),
        (("नमस्ते दुनिया", "हिन्दी में लिखा हुआ", "मूल्य दस है"), "हिन्दी"),
        (("caf\u00e9 au lait", "th\u00e9 vert", "eau"), "the\u0301"),
        (("eau", "le fichier ﬁnal", "the"), "final"),
        (("eau", "ＡＢＣ１２３", "the"), "abc123"),
        (("eau", "\ufee3\ufeae\ufea3\ufe92\ufe8e", "the"), "\u0645\u0631\u062d\u0628\u0627"),
        (("eau", "Donau\u00addampf\u00adschiff", "the"), "Donaudampfschiff"),
        (("eau", "STRASSE frei", "the"), "straße"),
        (("eau", "서울 날씨가 좋다", "the"), "서울"),
        (("eau", "İstanbul'da hava", "the"), "İstanbul"),
        (("eau", "mixed 東京タワー text", "the"), "タワー"),
    ],
)
def test_a_word_is_found(texts, query):
    """Inside a sentence without spaces, composed or not, in forms of other widths, with invisible marks."""
    assert found(index_of(*texts), query)[:1] == ["1.txt"]


def test_english_is_searched_as_before():
    """What is ASCII is not touched."""
    text = "The quick brown fox, e.g. don't-stop 3.5 C++"
    assert to_search_text(text) is text


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, THAI])
@pytest.mark.parametrize("by", ["sentence", "window"])
def test_scripts_without_spaces_are_cut(text, by):
    """A document of 18,000 characters becomes passages of the size that was asked for, and nothing is lost."""
    long = text * (18_000 // len(text))
    document = Document("a.txt", "", [Section("", long)])

    passages = [one.text for one in passages_of(document, Chunking(by=by, size=100, overlap=0))]

    assert len(passages) > 50
    assert max(count_words(one) for one in passages) <= 100
    assert "".join("".join(passages).split()) == "".join(long.split())


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (CHINESE, "我们的店铺每天早上九点开门。"),
        (JAPANESE, "当店は毎朝九時に開店します。"),
        ("Это первое. Это второе. Третье.", "Это первое."),
        ("यह पहला है। यह दूसरा है। तीसरा।", "यह पहला है।"),
        ("هل هذا صحيح؟ نعم هو كذلك. شكرا.", "هل هذا صحيح؟"),
        ("Dr. Smith came. He left. 3.5 it was.", "Dr."),
    ],
)
def test_sentences_end_where_their_script_ends_them(text, first):
    """Full stops of their own, and capitals of any alphabet."""
    from ratchet.retrieval import sentences

    assert next(iter(sentences(text, 50))) == first
