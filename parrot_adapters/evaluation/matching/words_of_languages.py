"""The languages the robust matcher knows. Data only; see ``languages.py``.

The first six are the languages of MMMB; the others are those of the emoji benchmark and a few large ones, so that a
reply in any of them is read. Phrases were written for this table by hand; ``a | b`` separates them. Scripts are the
likely ones of Unicode CLDR (``likelySubtags``).
"""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language

__all__ = ["LANGUAGES"]


def _(phrases: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in phrases.split("|"))


def _labels(alphabet: str) -> dict[str, str]:
    """``"ا ب ج د"`` names A, B, C, D in that order; several such rows are separated by ``|``."""
    return {
        sign: letter for row in alphabet.split("|") for sign, letter in zip(row.split(), "ABCDEFGHIJ", strict=False)
    }


LANGUAGES: dict[str, Language] = {
    "en": Language(
        scripts=_("LATIN"),
        answer=_("answer | answers | correct option | correct choice | best option | best choice | right option"),
        option=_("option | choice | letter | alternative"),
        fillers=_(
            "is | are | was | be | would | will | should | must | the | a | an | my | it | it's | its | that | option |"
            "choice | letter | correct | best | right | final | clearly | probably | likely | most | therefore | thus |"
            "definitely | simply | to | this | question | one"
        ),
        refusals=_(
            "Sorry, I can't help with | I can't process this |"
            "without the image provided | Cannot determine the answer |"
            "I cannot answer | I can't answer | I'm unable to answer | I am unable to | I'm unable to |"
            "I cannot determine | I can't determine | I can't help with | I cannot help with | I cannot assist |"
            "I can't assist | unable to determine | I cannot see the image | I can't see the image |"
            "I don't see any image | no image was provided | I do not know | I don't know"
        ),
        negations=_("not | isn't | aren't | never | neither | nor | no"),
        denials=_(
            "is wrong | are wrong | is incorrect | are incorrect | is not | isn't | are not | "
            "aren't | is not correct | is false | is not it"
        ),
        conclusions=_("therefore | thus | hence | in conclusion | in summary"),
        joiners=_("or | and | nor"),
        articles=_("the | a | an"),
        words=_("A | I"),
        endings=_("s | es | ish"),
    ),
    "zh": Language(
        scripts=_("CJK"),
        answer=_("答案 | 正确选项 | 正确的选项 | 正解 | 应选 | 应该选 | 我选 | 我会选 | 选择 | 故选 | 选"),
        option=_("选项 | 项 | 字母"),
        fillers=_(
            "是 | 为 | 應該 | 应该 | 应 | 就 | 即 | 的 | 选项 | 选择 |"
            "选 | 第 | 个 | 项 | 正确 | 我 | 会 | 字母 | 可能 | 最终"
        ),
        refusals=_(
            "无法回答 | 无法确定 | 无法判断 | 不能回答 | 不能确定 |"
            "无法提供 | 无法识别 | 无法查看 | 看不到图 | 抱歉，我 |"
            "很抱歉 | 对不起，我 | 無法回答 | 無法確定 | 我不知道"
        ),
        negations=_("不是 | 不选 | 并非 | 非 | 不应选 | 没有"),
        denials=_("不对 | 是错的 | 错误 | 不正确 | 是错误的 | 都不对 | 都错"),
        conclusions=_("因此 | 所以 | 综上 | 综上所述"),
        joiners=_("或 | 或者 | 和 | 与 | 还是"),
        articles=_("一个 | 一只 | 一条 | 一张"),
        labels=_labels("甲 乙 丙 丁 戊 | 一 二 三 四 五"),
    ),
    "pt": Language(
        scripts=_("LATIN"),
        answer=_("resposta | respostas | opção correta | alternativa correta | letra correta | gabarito"),
        option=_("opção | letra | alternativa"),
        fillers=_(
            "é | e | será | seria | a | o | as | os | correta | correto | certa | certo | opção | letra | alternativa |"
            "final | para | minha | sua | esta | essa | pergunta | deve | ser | provavelmente | à"
        ),
        refusals=_(
            "não posso responder | não consigo responder | não é possível determinar | não posso ajudar |"
            "não consigo determinar | não consigo ver | não posso ver | desculpe, mas | desculpe, não | lamento, mas |"
            "sinto muito, mas | não sei"
        ),
        negations=_("não | nem | nunca"),
        denials=_(
            "está errada | está errado | estão erradas | estão errados | não | é incorreta | "
            "é falsa | incorreta | errada"
        ),
        conclusions=_("portanto | logo | em conclusão"),
        inflecting=True,
        joiners=_("ou | e"),
        articles=_("o | a | os | as | um | uma | uns | umas"),
        words=_("A | E | O | É | À"),
        endings=_("s | es"),
    ),
    "ar": Language(
        scripts=_("ARABIC"),
        answer=_("الإجابة | إجابة | الجواب | جواب | الاختيار الصحيح | الخيار الصحيح | إجابتي"),
        option=_("الخيار | خيار | الحرف | حرف | الاختيار | البديل"),
        fillers=_(
            "هي | هو | الصحيحة | الصحيح | صحيحة | الخيار | الحرف | الاختيار | تكون | النهائية | الأصح | إن | أن | على |"
            "هذا | السؤال | كالتالي | التالية | ستكون"
        ),
        refusals=_(
            "لا أستطيع | لا يمكنني | لا يمكن تحديد | لا استطيع | عذرا | آسف | أعتذر | غير قادر على | لا أعرف | تعذر علي"
        ),
        negations=_("ليس | ليست | لا"),
        denials=_("خطأ | خاطئ | خاطئة | غير صحيح | غير صحيحة | ليس | ليست"),
        conclusions=_("لذلك | إذن | بالتالي"),
        joiners=_("أو | و | أم"),
        labels=_labels("أ ب ج د ه | ا ب ت ث"),
        prefixes=_("ال | و | ب | ل | ك | ف | وال | بال | لل | كال | فال"),
    ),
    "tr": Language(
        scripts=_("LATIN"),
        answer=_("cevap | cevabı | cevabım | yanıt | yanıtı | yanıtım | doğru seçenek | doğru şık"),
        option=_("seçenek | seçeneği | seçeneğidir | şık | şıkkı | şıkkıdır | harf | harfi"),
        fillers=_(
            "doğru | olan | olarak | seçenek | seçeneği | şık |"
            "şıkkı | harfi | harf | bu | sorunun | için | kesinlikle |"
            "büyük | ihtimalle | ise | olmalı | olur"
        ),
        refusals=_(
            "üzgünüm | cevaplayamam | cevap veremem | yanıtlayamam | yanıt veremem | cevaplayamıyorum |"
            "yanıtlayamıyorum | belirleyemiyorum | maalesef | yardımcı olamam | göremiyorum | bilmiyorum"
        ),
        negations=_("değil"),
        denials=_("değil | değildir | yanlış | yanlıştır | hatalı"),
        conclusions=_("bu nedenle | dolayısıyla | sonuç olarak"),
        joiners=_("veya | ya da | ve | yahut"),
        articles=_("bir"),
        words=_("O | E"),
        suffixing=True,
    ),
    "ru": Language(
        scripts=_("CYRILLIC"),
        answer=_("ответ | ответом | правильный вариант | верный вариант | правильная буква | правильный выбор"),
        option=_("вариант | буква | буквой | пункт | варианту"),
        fillers=_(
            "это | — | является | будет | правильный | верный |"
            "вариант | варианта | буква | пункт | под | буквой | мой |"
            "на | вопрос | этот | скорее | всего | окончательный | ответа | номер"
        ),
        refusals=_(
            "не могу ответить | не могу определить | невозможно определить | не могу помочь | извините, | извините |"
            "к сожалению, я | не могу дать ответ | не могу увидеть | не вижу изображения | я не знаю | простите, "
        ),
        negations=_("не | ни | неверно"),
        denials=_("неверно | неверен | неправильно | неправильный | не подходит | не является | ошибочен"),
        conclusions=_("следовательно | поэтому | итак | таким образом"),
        inflecting=True,
        joiners=_("или | и | либо"),
        words=_("А | В | И | С | К | О | У | Я"),
        labels=_labels("А Б С Д Е | А В С Г Е"),
    ),
    "ja": Language(
        scripts=_("CJK | HIRAGANA | KATAKANA"),
        answer=_("答え | 正解 | 回答 | 解答"),
        option=_("選択肢 | 番"),
        fillers=_("は | が | の | 正しい | 選択肢 | 番 | です | 最も | 適切な"),
        refusals=_(
            "答えられません | お答えできません | わかりません |"
            "分かりません | 判断できません | 申し訳ありません | すみません"
        ),
        negations=_("ではなく"),
        denials=_("ではなく | ではありません | ではない | じゃない | じゃなくて | は間違い | は誤り | は違います"),
        conclusions=_("したがって | よって"),
        joiners=_("または | か | と"),
        labels=_labels("ア イ ウ エ オ"),
    ),
    "ko": Language(
        scripts=_("HANGUL | CJK"),
        answer=_("정답 | 정답은 | 답은 | 답 | 답변 | 답변은"),
        option=_("선택지 | 보기 | 번"),
        fillers=_("은 | 는 | 선택지 | 보기 | 올바른 | 가장"),
        refusals=_("대답할 수 없습니다 | 답변할 수 없습니다 | 알 수 없습니다 | 죄송합니다 | 답할 수 없습니다"),
        denials=_(
            "가 아니라 | 이 아니라 | 가 아닙니다 | 이 아닙니다 | 가 아니고 | 이 아니고 | 가 아니다 |"
            "이 아니다 | 는 틀렸습니다 | 은 틀렸습니다 |"
            "는 아닙니다 | 은 아닙니다"
        ),
        conclusions=_("따라서 | 그러므로"),
        joiners=_("또는 | 와 | 과"),
        labels=_labels("가 나 다 라 마 | ㄱ ㄴ ㄷ ㄹ ㅁ"),
        suffixing=True,
    ),
    "es": Language(
        scripts=_("LATIN"),
        answer=_("respuesta | opción correcta | alternativa correcta"),
        option=_("opción | letra | alternativa"),
        fillers=_("es | la | el | correcta | correcto | opción | letra | sería | a | esta | pregunta | final | mi"),
        refusals=_(
            "no puedo responder | no puedo determinar | no puedo ayudar | lo siento, | no es posible determinar"
        ),
        negations=_("no | ni"),
        denials=_("está mal | es incorrecta | es incorrecto | no es | es falsa"),
        conclusions=_("por lo tanto | por tanto"),
        inflecting=True,
        joiners=_("o | y | u"),
        articles=_("el | la | los | las | un | una | unos | unas"),
        words=_("A | E | O | Y"),
        endings=_("s | es"),
    ),
    "fr": Language(
        scripts=_("LATIN"),
        answer=_("réponse | bonne réponse | bon choix"),
        option=_("option | lettre | choix"),
        fillers=_("est | la | le | correcte | bonne | option | lettre | serait | à | cette | question | finale | ma"),
        refusals=_("je ne peux pas | je ne suis pas en mesure | désolé, | impossible de déterminer | je ne sais pas"),
        negations=_("pas | non | ni"),
        denials=_("est faux | est fausse | est incorrecte | n'est pas | est incorrect"),
        conclusions=_("donc"),
        joiners=_("ou | et"),
        articles=_("le | la | les | un | une | des | l'"),
        words=_("A | À | Y"),
    ),
    "de": Language(
        scripts=_("LATIN"),
        answer=_("antwort | lösung | richtige option | richtige wahl"),
        option=_("option | buchstabe | möglichkeit"),
        fillers=_(
            "ist | lautet | wäre | die | der | das | richtige | korrekte | option | buchstabe | auf | frage | eindeutig"
        ),
        refusals=_(
            "ich kann nicht | kann ich nicht | tut mir leid | nicht beantworten | nicht bestimmen | ich weiß es nicht"
        ),
        negations=_("nicht | kein | keine"),
        denials=_("ist falsch | ist nicht richtig | ist es nicht | sind falsch"),
        conclusions=_("daher | deshalb | folglich"),
        joiners=_("oder | und"),
        articles=_("der | die | das | ein | eine | einen | einem"),
    ),
    "it": Language(
        scripts=_("LATIN"),
        answer=_("risposta | opzione corretta"),
        option=_("opzione | lettera | scelta"),
        fillers=_("è | la | il | corretta | giusta | opzione | lettera | sarebbe | a | questa | domanda"),
        refusals=_("non posso rispondere | non posso determinare | mi dispiace, | non è possibile determinare"),
        negations=_("non | né"),
        denials=_("è sbagliata | è sbagliato | è errata | non è"),
        conclusions=_("quindi | pertanto"),
        inflecting=True,
        joiners=_("o | e"),
        articles=_("il | lo | la | i | gli | le | un | uno | una | l'"),
        words=_("A | E | È | I | O"),
    ),
    "fa": Language(
        scripts=_("ARABIC"),
        answer=_("پاسخ | جواب | گزینه صحیح | گزینهٔ صحیح"),
        option=_("گزینه | گزینهٔ | حرف"),
        fillers=_("صحیح | درست | گزینه | گزینهٔ | این | سوال | برابر | با | است"),
        refusals=_("نمی‌توانم | متأسفم | متاسفم | نمی‌دانم"),
        denials=_("غلط است | نادرست است | نیست"),
        joiners=_("یا | و"),
        labels=_labels("الف ب ج د ه | ا ب ج د"),
    ),
    "id": Language(
        scripts=_("LATIN"),
        answer=_("jawaban | jawabannya | pilihan yang benar"),
        option=_("pilihan | opsi | huruf"),
        fillers=_("adalah | yang | benar | tepat | pilihan | opsi | huruf | ialah | untuk | pertanyaan | ini"),
        refusals=_("tidak dapat menjawab | tidak bisa menjawab | tidak dapat menentukan | maaf,"),
        negations=_("bukan | tidak"),
        denials=_("salah | adalah salah"),
        conclusions=_("jadi | oleh karena itu"),
        joiners=_("atau | dan"),
        articles=_("sebuah | seekor | seorang"),
    ),
    "hi": Language(
        scripts=_("DEVANAGARI"),
        answer=_("उत्तर | जवाब | सही विकल्प"),
        option=_("विकल्प | अक्षर"),
        fillers=_("है | सही | विकल्प | का | इस | प्रश्न | होगा | अक्षर"),
        refusals=_("उत्तर नहीं दे सकता | जवाब नहीं दे सकता | क्षमा करें | माफ़ करें | निर्धारित नहीं | मुझे नहीं पता"),
        denials=_("गलत है | नहीं है"),
        joiners=_("या | और"),
        labels=_labels("क ख ग घ ङ | अ ब स द"),
    ),
    "bn": Language(
        scripts=_("BENGALI"),
        answer=_("উত্তর | সঠিক বিকল্প | জবাব"),
        option=_("বিকল্প | অক্ষর"),
        fillers=_("হল | হলো | সঠিক | বিকল্প | হবে | এই | প্রশ্নের"),
        refusals=_("উত্তর দিতে পারছি না | উত্তর দিতে পারি না | দুঃখিত | নির্ধারণ করা সম্ভব নয় | আমি জানি না"),
        joiners=_("বা | এবং"),
        labels=_labels("ক খ গ ঘ ঙ"),
    ),
    "th": Language(
        scripts=_("THAI"),
        answer=_("คำตอบ | ตอบ | ข้อที่ถูกต้อง"),
        option=_("ตัวเลือก | ข้อ"),
        fillers=_("คือ | ที่ | ถูกต้อง | ตัวเลือก | ข้อ | เป็น | ของ | คำถาม | นี้"),
        refusals=_("ไม่สามารถตอบ | ไม่สามารถระบุ | ขอโทษ | ขออภัย | ไม่ทราบ"),
        joiners=_("หรือ | และ"),
        labels=_labels("ก ข ค ง จ"),
    ),
    "sw": Language(
        scripts=_("LATIN"),
        answer=_("jibu | jibu sahihi | chaguo sahihi"),
        option=_("chaguo | herufi"),
        fillers=_("ni | sahihi | la | chaguo | herufi | kwa | swali | hili"),
        refusals=_("siwezi kujibu | samahani | siwezi kubaini | sijui"),
        joiners=_("au | na"),
    ),
    "el": Language(
        scripts=_("GREEK"),
        answer=_("απάντηση | σωστή επιλογή"),
        option=_("επιλογή | γράμμα"),
        fillers=_("είναι | η | το | σωστή | επιλογή | γράμμα"),
        refusals=_("δεν μπορώ | λυπάμαι | συγγνώμη"),
        joiners=_("ή | και"),
        articles=_("ο | η | το | ένας | μια | ένα"),
        words=_("Η | Ο"),
        labels=_labels("Α Β Γ Δ Ε"),
    ),
}
