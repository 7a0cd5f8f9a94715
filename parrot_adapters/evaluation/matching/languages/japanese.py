"""Japanese, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, labels, phrases

__all__ = ["JAPANESE"]

JAPANESE = Language(
    scripts=phrases("CJK | HIRAGANA | KATAKANA"),
    answer=phrases("答え | 正解 | 回答 | 解答"),
    option=phrases("選択肢 | 番"),
    fillers=phrases("は | が | の | 正しい | 選択肢 | 番 | です | 最も | 適切な"),
    refusals=phrases(
        "答えられません | お答えできません | わかりません | 分かりません | 判断できません | 申し訳ありません | "
        "すみません"
    ),
    negations=phrases("ではなく"),
    denials=phrases("ではなく | ではありません | ではない | じゃない | じゃなくて | は間違い | は誤り | は違います"),
    conclusions=phrases("したがって | よって"),
    joiners=phrases("または | か | と"),
    labels=labels("ア イ ウ エ オ"),
    numbers=phrases(
        "零/ゼロ | 一/一つ | 二/二つ | 三/三つ | 四/四つ | 五/五つ | 六/六つ | 七/七つ | 八/八つ | 九/九つ | 十/とお"
    ),
    ordinals=phrases("一番目 | 二番目 | 三番目 | 四番目 | 五番目"),
    last=phrases("最後"),
)
