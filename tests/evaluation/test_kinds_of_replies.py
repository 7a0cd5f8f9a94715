"""Kinds of replies, each beside one that looks like it and means something else."""

from __future__ import annotations

import pytest
from support.growth import grows_linearly
from support.tiers import late_unless

from parrot_adapters.evaluation import extract_choice

KINDS = [
    # all but one are called wrong
    ("en", "bus|train|car|bicycle", "All of the options but B are wrong.", "B"),
    ("en", "bus|train|car|bicycle", "All except A fit.", None),
    ("zh", "巴黎|伦敦|罗马|柏林", "除了D以外都不对。", "D"),
    ("zh", "猫|狗|鸟|鱼", "除了狗，其他动物都出现了。", "B"),
    ("ar", "باريس|لندن|روما|برلين", "كل الخيارات خاطئة ما عدا د.", "D"),
    ("tr", "Paris|Londra|Roma|Berlin", "D hariç hepsi yanlış.", "D"),
    ("ru", "кошка|собака|птица|рыба", "Есть все, кроме кошки.", "A"),
    # every other one is rejected, or one alone is missing
    ("en", "spring|summer|autumn|winter", "Not A, not B, not C.", "D"),
    ("en", "spring|summer|autumn|winter", "Not A, not B.", None),
    ("pt", "correr|nadar|cozinhar|ler", "As alternativas A, C e D podem ser descartadas.", "B"),
    ("zh", "手表|眼镜|钥匙|钱包", "图中可以看到手表、眼镜和钱包，唯独没有钥匙。", "C"),
    ("zh", "手表|眼镜|钥匙|钱包", "图中可以看到手表和钱包，没有钥匙。", None),
    # a rejected letter's text in the reason
    (
        "en",
        "apple|banana|orange|grape",
        "D is wrong since grapes are small. A is wrong. Of B and C, by its shape B.",
        "B",
    ),
    ("tr", "elma|muz|portakal|üzüm", "D yanlış çünkü üzüm küçüktür.", None),
    ("en", "apple|banana|orange|grape", "Without the picture nobody can tell if it is A, B, C or D.", None),
    # what is taken back
    ("pt", "cadeira|banco|sofá|cama", "Resposta: A. Corrijo: C.", "C"),
    ("ru", "стул|табурет|скамья|диван", "Ответ: B. Исправляюсь: A.", "A"),
    ("en", "bus|train|car|bicycle", "I was leaning towards B but changed my mind: D.", "D"),
    ("zh", "春天|夏天|秋天|冬天", "我选B。哦不对，是C。", "C"),
    ("pt", "ônibus|bicicleta|moto|trem", "A resposta é B... não, espera, há uma bicicleta ali. Então A.", "A"),
    ("ar", "الربيع|الصيف|الخريف|الشتاء", "اخترت ب أولا، لكن الأصح ج.", "C"),
    # the options are only repeated, and steps only numbered
    ("pt", "primavera|verão|outono|inverno", "Dentre primavera, verão, outono e inverno, a cena mostra o verão.", "B"),
    ("en", "spring|summer|autumn|winter", "A. spring, B. summer, C. autumn, D. winter. Autumn fits best.", "C"),
    ("en", "spring|summer|autumn|winter", "spring, summer, autumn, winter", None),
    ("tr", "ot|çekirge|kurbağa|yılan", "Çözüm:\n1. Ot üretir.\n2. Çekirge otu yer.\nBuna göre cevap çekirge.", "B"),
    # a letter for each case is none; one that a reply comes to in the end is
    ("en", "oak|pine|birch|maple", "If it was taken in winter, the answer is B; if in autumn, D.", None),
    ("en", "oak|pine|birch|maple", "If it was taken in winter, B; if in autumn, D. Leaves fall, so D.", "D"),
    ("en", "oak|pine|birch|maple", "The left one is C, the right one A.", None),
    ("ru", "дуб|сосна|берёза|клён", "Если спрашивают о дереве слева, то ответ C, а если справа, то A.", None),
    ("zh", "橡树|松树|桦树|枫树", "要是问左边的树，选B；要是问右边的树，选C。", None),
    ("ar", "بلوط|صنوبر|بتولا|قيقب", "إذا كان السؤال عن الكبيرة فالإجابة B، وإذا كان عن الصغيرة فالإجابة C.", None),
    ("tr", "meşe|çam|huş|akçaağaç", "Soldaki soruluyorsa B, sağdaki soruluyorsa D.", None),
    ("pt", "leão|tigre|leopardo|puma", "As alternativas A e D estão corretas.", None),
    ("ru", "лев|тигр|леопард|пума", "Подходят и A, и C.", None),
    ("zh", "狮子|老虎|豹子|美洲狮", "A和C都是猫科动物，图中的是D。", "D"),
    ("en", "lion|tiger|leopard|puma", "Both B and C are wrong, so A.", "A"),
    # the options are weighed one by one, and the reply breaks off
    ("en", "bakery|butcher|bookshop", "Let us see.\nA. bakery: there would be loaves.\nB. butcher: there would", None),
    ("en", "bakery|butcher|bookshop", "The answer is C.\nA. bakery: there would be loaves.\nB. butcher: there", "C"),
    # that it cannot be told is an option, and a no with more beside it is one
    ("pt", "Sim|Não|Impossível saber", "Não se pode afirmar isso com certeza só pela imagem.", "C"),
    ("ar", "نعم|لا|لا يمكن معرفة ذلك", "من الصعب تحديد ذلك اعتمادا على الصورة.", "C"),
    ("en", "Yes|No|It cannot be determined", "There is no way to tell, but I'd say yes: A.", "A"),
    ("zh", "有|没有|不确定", "没有，街上一个人都看不见。", "B"),
    # what others think
    ("en", "It is an insect|It is an arachnid", "Many people think it is an insect, but it is an arachnid.", "B"),
    ("ru", "Земля плоская|Земля круглая", "Раньше думали, что Земля плоская, но видно, что она круглая.", "B"),
    ("tr", "Bu bir kuştur|Bu bir memelidir", "Pek çok kişi kuş olduğunu sanır, ama bu bir memelidir.", "B"),
    # lists of the same things, and both
    ("en", "red and blue|red and green|only red|red, blue and green", "Blue and red.", "A"),
    ("en", "red and blue|red and green|only red|red, blue and green", "Apart from red and blue, also green.", "D"),
    ("en", "red and blue|red and green|only red|red, blue and green", "There is red, but no blue and no green.", "C"),
    ("zh", "黑色和白色|黑色和黄色|只有黑色|黑色、白色和黄色", "图上有黄色、黑色和白色。", "D"),
    ("pt", "só o gato|só o cachorro|os dois|nenhum", "O cachorro e o gato estão dormindo.", "C"),
    ("ru", "Только кошка|Только собака|Обе|Ни одна", "Спит кошка, а собака не спит.", "A"),
    # times of the clock, in figures or in words
    ("en", "7:15|7:45|8:15|8:45", "It is a quarter to eight.", "B"),
    ("en", "quarter past three|half past three|quarter to four", "The clock shows 3:30.", "B"),
    ("en", "7:15|7:45|8:15|8:45", "It is a quarter to eight or a quarter past eight.", None),
    ("pt", "6h15|6h45|7h15|7h45", "São sete menos quinze.", "B"),
    ("ru", "4:15|4:30|4:45|5:15", "На часах половина пятого.", "B"),
    ("ru", "4:15|4:45|5:15|5:45", "Сейчас без четверти пять.", "B"),
    ("tr", "3.15|3.45|4.15|4.45", "Saat dördü çeyrek geçiyor.", "C"),
    ("ar", "5:15|5:30|5:45|6:15", "الساعة الآن الخامسة والنصف.", "B"),
    ("zh", "6:15|6:30|6:45|7:15", "现在差一刻七点。", "C"),
    # shares of a whole
    ("en", "1/2|1/3|1/4|2/3", "Two thirds of the circle are shaded.", "D"),
    ("en", "1/2|1/3|1/4|2/4", "Half of it is shaded.", "A"),
    ("pt", "1/2|1/3|1/4|3/4", "Um quarto do círculo está pintado.", "C"),
    ("zh", "1/2|1/3|1/4|3/4", "涂色部分占四分之三。", "D"),
    ("ru", "1/2|1/3|1/4|3/4", "Закрашена треть круга.", "B"),
    ("tr", "1/2|1/3|1/4|3/4", "Dairenin yarısı boyalı.", "A"),
    ("ar", "1/2|1/3|1/4|3/4", "الجزء المظلل هو الربع.", "C"),
    # how likely each is
    ("en", "hammer|saw|pliers|drill", "B: 70%, D: 30%", "B"),
    ("en", "hammer|saw|pliers|drill", "B: 50%, D: 50%", None),
    ("tr", "çekiç|testere|pense|tornavida", "A (%25), C (%75)", "C"),
    ("zh", "锤子|锯子|钳子|钻", '{"A": "0.2", "C": "0.8"}', "C"),
    # a number with its sign
    ("ru", "вода|воздух|почва|камень", "№ 2", "B"),
    ("en", "water|air|soil|rock", "No. 3", "C"),
    # which of two is nearer
    ("zh", "山猫|狼|狐狸|獾", "C和D很接近，但D更合适。", "D"),
    ("ru", "рысь|волк|лиса|барсук", "A и B похожи, но B подходит лучше.", "B"),
    # words of one stem
    ("en", "predator|parasite|decomposer|producer", "It has a parasitic way of life.", "B"),
    ("en", "predator|parasite|decomposer|producer", "It has a parasitic way of life, and is a predator, too.", "A"),
    ("ru", "растворение|кипение|плавление|горение", "Металл плавится.", "C"),
    # checklists and markup
    ("en", "bus|train|car|bicycle", "- [ ] A. bus\n- [ ] B. train\n- [x] C. car\n- [ ] D. bicycle", "C"),
    ("en", "bus|train|car|bicycle", "- [x] A. bus\n- [ ] B. train\n- [x] C. car\n- [ ] D. bicycle", None),
    ("en", "red|blue|green|yellow", "<p>The correct answer is <b>D</b>.</p>", "D"),
    # places and numbers
    ("en", "a dog|a cat|a rabbit|a horse", "Option two is right.", "B"),
    ("ru", "собака|кошка|кролик|лошадь", "Предпоследний вариант.", "C"),
    ("zh", "一只狗|一只猫|一只兔子|一匹马", "倒数第二个选项。", "C"),
    ("ru", "красный|синий|зелёный|жёлтый", "А - нет, Б - нет, В - да, Г - нет.", "C"),
    ("ar", "اثنان|ثلاثة|أربعة|خمسة", "يوجد قطتان في الصورة.", "A"),
    ("tr", "3|4|5|6", "4 kişi var: 3 yetişkin ve 1 çocuk.", "B"),
    ("tr", "3|4|5|6", "4 kişi, 3 köpek ve 2 kuş var.", None),
    ("en", "1 kg|2 kg|5 kg|10 kg", "One weighs 3 kg, the other 5 kg; the difference is 2 kg.", "B"),
    # statements judged one by one
    ("en", "both are true|only 1 is true|only 2 is true|neither is", "Statement 1 is true, statement 2 is not.", "B"),
    ("en", "both are true|only 1 is true|only 2 is true|neither is", "Statement 1 is true, statement 2 is true.", "A"),
    ("tr", "ikisi de doğru|yalnız I doğru|yalnız II doğru|ikisi de yanlış", "I. öncül doğru, II. öncül yanlış.", "B"),
    ("zh", "两者都对|只有甲对|只有乙对|两者都不对", "甲乙两人说得都没错。", "A"),
    # other words for the same
    ("en", "on the table|under the table|behind the sofa", "It hides behind the couch.", "C"),
    ("en", "a sofa|a couch|a chair", "It is a settee.", None),
    ("zh", "高兴|难过|生气|惊讶", "小男孩看上去很开心。", "A"),
    # a "not" further off, and one that denies nothing
    ("en", "happy|sad|angry|surprised", "He doesn't look happy.", None),
    ("zh", "高兴|难过|生气|惊讶", "他并不难过。", None),
    ("zh", "高兴|难过|生气|惊讶", "他一点也不高兴，反而很生气。", "C"),
    ("en", "happy|sad|angry|surprised", "There is no doubt that he is happy.", "A"),
    ("tr", "kırmızı|mavi|yeşil|sarı", "Ne kırmızı, ne mavi, ne de yeşil.", "D"),
    ("tr", "Merkür|Venüs|Dünya|Mars", "Venüs en sıcak olsa da ok Merkür'ü gösteriyor.", "A"),
    ("en", "3|4|5|6", "There are at least 4, maybe 5.", None),
]


@pytest.mark.parametrize(("language", "options", "said", "choice"), KINDS)
def test_a_kind_of_reply(language: str, options: str, said: str, choice: str | None) -> None:
    texts = dict(zip("ABCDE", options.split("|"), strict=False))
    assert extract_choice(said, texts, "robust", language=language) == choice


@pytest.mark.parametrize(("other", "choice"), [("moto", "B"), ("bicicletário", None)])
def test_a_word_that_is_cut_off_is_read(other: str, choice: str | None) -> None:
    """Where it can be one option only."""
    texts = {"A": "ônibus", "B": "bicicleta", "C": other}
    said = "Análise: a rua está vazia, e nada mais se vê de manhã cedo. " * 3 + "Logo, é a bicicl"
    assert extract_choice(said, texts, "robust", language="pt") == choice


@pytest.mark.parametrize(
    "piece",
    late_unless(
        lambda piece: piece.startswith("wait"),
        ["wait, plum ", "all except plum are wrong. ", "- [x] A. x\n- [ ] B\n", "apple, plum, cherry ", "1. x\n2. y\n"],
    ),
)
@pytest.mark.few(1)
def test_time_grows_with_the_length(piece: str) -> None:
    texts = {"A": "apple", "B": "plum", "C": "cherry", "D": "lemon"}

    def read_it(size: int) -> None:
        extract_choice(piece * (size // len(piece)), texts, "robust", language="en")

    assert grows_linearly(read_it, 4_000, 40_000)
