"""Forms that a reply takes in any language: other words, other units, several at once, things beside, frames."""

from __future__ import annotations

import pytest

from parrot_adapters.evaluation import extract_choice


def read(said: str, options: str, language: str) -> str | None:
    return extract_choice(said, dict(zip("ABCDE", options.split(" | "), strict=False)), "robust", language=language)


IN_OTHER_WORDS = [
    ("en", "a girl is riding a horse | a girl is feeding a horse | a girl is washing a horse", "She feeds it.", "B"),
    ("pt", "a menina está lendo | a menina está cozinhando | a menina está dormindo", "Ela cozinha.", "B"),
    ("ar", "الطفل يجلس | الطفل يقفز | الطفل يكتب", "الطفل جالس.", "A"),
    ("tr", "kız ata biniyor | kız atı besliyor | kız atı yıkıyor", "Kız hayvanı beslemekte.", "B"),
    ("ru", "девочка читает книгу | девочка варит суп | девочка моет окно", "Она занята чтением.", None),
    ("ru", "девочка читает книгу | девочка варит суп | девочка моет окно", "Девочка читала вслух.", "A"),
    ("zh", "女孩在骑马 | 女孩在喂马 | 女孩在洗马", "女孩正在给马喂草。", "B"),
    ("en", "a girl is riding a horse | a girl is feeding a horse", "A girl rides one horse and feeds another.", None),
    ("en", "a girl is riding a horse | a girl is feeding a horse", "The girl is not riding the horse.", None),
]
AMOUNTS = [
    ("en", "5 km | 50 km | 500 m | 5 m", "About five kilometres.", "A"),
    ("en", "5 km | 50 km | 500 m | 5 m", "5000 m", "A"),
    ("en", "5 km | 50 km | 500 m | 5 m", "It is 5.", None),
    ("en", "15 years | 25 years | 52 years", "twenty-five years", "B"),
    ("zh", "3米 | 30米 | 3公里", "大概三十米", "B"),
    ("pt", "1,5 kg | 15 kg | 150 g", "Pesa 1,5 quilo", "A"),
    ("tr", "%20 | %40 | %60", "Yüzde kırk", "B"),
    ("ru", "2 часа | 20 минут | 2 минуты", "120 минут", "A"),
    ("ar", "متر واحد | متران | ثلاثة أمتار", "2 متر", "B"),
]
GROUPS = [
    ("en", "only Ann | only Bob | both of them | neither of them", "Both wear hats.", "C"),
    ("en", "only Ann | only Bob | both of them | neither of them", "Neither wears a hat.", "D"),
    ("en", "hats | both hands | feet", "Neither.", None),
    ("zh", "只有猫 | 只有狗 | 两者都有 | 两者都没有", "图里两个都有。", "C"),
    ("pt", "só Ana | só Rui | Ana e Rui | nem Ana nem Rui", "Ambos usam chapéu.", "C"),
    ("ar", "الأول فقط | الثاني فقط | كلاهما | لا هذا ولا ذاك", "كلتاهما صحيحة", "C"),
    ("tr", "yalnız Ali | yalnız Can | ikisi de | hiçbiri", "Her ikisi şapkalı.", "C"),
    ("ru", "только Аня | только Боря | оба | никто", "Ни один из них.", "D"),
]
BESIDE = [
    ("en", "sofa | cat | lamp", "The cat lies on the sofa.", "B"),
    ("en", "sofa | cat | lamp", "A cat and a lamp.", None),
    ("zh", "沙发 | 猫 | 台灯", "沙发上的猫。", "B"),
    ("tr", "kanepe | kedi | lamba", "Kanepenin üzerinde kedi yatıyor.", "B"),
    ("ru", "диван | кошка | лампа", "кошка на диван прыгает", "B"),
    ("en", "Vitamin A | Vitamin B | Vitamin C", "Oranges give us vitamin A? No: vitamin C.", "C"),
    ("ru", "Витамин A | Витамин C", "Он богат витамином C.", "B"),
    ("tr", "masa | masa lambası", "Bu bir masa lambasıdır.", "B"),
]
FRAMES = [
    "<answer>B</answer>",
    "<think>A?</think><answer> (B) plum </answer>",
    "<|begin_of_box|>B<|end_of_box|>",
    "$\\boxed{\\textbf{(B)}}$",
    "Some thoughts on A.\n#### B",
    '{"reasoning": "A is too small", "final_answer": "B"}',
    '```json\n{"A": false, "B": true, "C": false}\n```',
    "B<|im_end|>",
    "The answer is B.\n\nQuestion: What is it now?\nThe answer is A.",
    "a) apple - wrong\nb) plum - right\nc) pear - wrong",
    "❌ A. apple\n✅ B. plum\n❌ C. pear",
]


@pytest.mark.parametrize(("language", "options", "said", "choice"), IN_OTHER_WORDS + AMOUNTS + GROUPS + BESIDE)
def test_what_a_reply_means(language: str, options: str, said: str, choice: str | None) -> None:
    assert read(said, options, language) == choice


@pytest.mark.parametrize("said", FRAMES)
def test_an_answer_in_a_frame(said: str) -> None:
    assert read(said, "apple | plum | pear", "en") == "B"
    assert read(said.replace("B", "C").replace("b)", "x)"), "apple | plum | pear", "en") != "B"  # it is not guessed


@pytest.mark.parametrize(
    ("language", "options", "said"),
    [
        ("en", "Yes | No", "There is no bridge in this picture."),
        ("tr", "Evet | Hayır", "Resimde köprü yok."),
        ("zh", "是 | 否", "图中没有桥。"),
        ("ar", "نعم | لا", "لا يوجد جسر في الصورة."),
    ],
)
def test_what_is_not_there_is_a_no(language: str, options: str, said: str) -> None:
    assert read(said, options, language) == "B"


@pytest.mark.parametrize(
    ("language", "options", "said", "choice"),
    [
        (
            "en",
            "the red kite | the blue kite | the green kite",
            "Not the red or the blue one. It has to be green.",
            "C",
        ),
        ("en", "Ann | Bea | Cleo", "Ann has 3, Bea 5 and Cleo 4. The most belong to Bea.", "B"),
        ("en", "Ann | Bea | Cleo", "Ann. Bea. Cleo.", None),
        ("en", "the dog chases the cat | the cat chases the dog", "A cat is chasing a dog.", "B"),
        ("en", "the dog chases the cat | the cat chases the dog", "The cat is chased by the dog.", None),
        ("en", "none | one | two | three", "3", "D"),
        ("en", "none | one | two | three", "There are no kites.", "A"),
        ("en", "3:00 | 6:30 | 9:00", "It is nine o'clock.", "C"),
        ("zh", "3:00 | 6:30 | 9:00", "六点半", "B"),
        ("zh", "猫 | 狗 | 鸟", "选项三", "C"),
        ("zh", "1 | 3 | 5", "五", "C"),
        ("tr", "öğretmen | öğrenci | hemşire", "Öğrencidir.", "B"),
        ("ar", "قطة | كلب | طائر | سمكة", "أستبعد أ و ب و ج لأنها لا تسبح.", "D"),
        ("en", "wasp | bee | ant", "It can't be a wasp or an ant. It's a bee.", "B"),
        ("en", "wasp | bee | ant", "I'd say a bee; a wasp is thinner.", "B"),
        ("en", "wasp | bee | ant", "My first answer was A, but I change it to C.", "C"),
        ("en", "wasp | bee | ant", "~~A~~ B", "B"),
    ],
)
def test_how_a_reply_argues(language: str, options: str, said: str, choice: str | None) -> None:
    assert read(said, options, language) == choice


def test_a_reply_that_breaks_off_says_nothing() -> None:
    thinking = (
        "To answer this, each fruit has to be looked at. The plum is round and has a dark skin. In this picture the"
    )
    assert read(thinking + " rest of what one sees", "apple | plum | pear", "en") is None
    assert read("It is a plum. " + thinking, "apple | plum | pear", "en") == "B"
    assert read(thinking + " fruit is round.", "apple | plum | pear", "en") == "B"


def test_scripts_and_spellings_of_one_word() -> None:
    assert read("這是一輛藍色的車。", "红色 | 蓝色 | 绿色", "zh") == "B"
    assert read("It is gray.", "black | grey | white", "en") == "B"
    assert read("Во втором варианте.", "да, конечно | нет, никогда", "ru") == "B"
    assert read("İkincisi.", "elma | erik | armut", "tr") == "B"
