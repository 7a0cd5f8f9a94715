"""Korean, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, labels, phrases

__all__ = ["KOREAN"]

KOREAN = Language(
    scripts=phrases("HANGUL | CJK"),
    answer=phrases("정답 | 정답은 | 답은 | 답 | 답변 | 답변은"),
    option=phrases("선택지 | 보기 | 번"),
    fillers=phrases("은 | 는 | 선택지 | 보기 | 올바른 | 가장"),
    refusals=phrases("대답할 수 없습니다 | 답변할 수 없습니다 | 알 수 없습니다 | 죄송합니다 | 답할 수 없습니다"),
    denials=phrases(
        "가 아니라 | 이 아니라 | 가 아닙니다 | 이 아닙니다 | 가 아니고 | 이 아니고 | 가 아니다 | 이 아니다 | "
        "는 틀렸습니다 | 은 틀렸습니다 | 는 아닙니다 | 은 아닙니다"
    ),
    conclusions=phrases("따라서 | 그러므로"),
    joiners=phrases("또는 | 와 | 과"),
    labels=labels("가 나 다 라 마 | ㄱ ㄴ ㄷ ㄹ ㅁ"),
    suffixing=True,
    numbers=phrases("영 | 하나/한 | 둘/두 | 셋/세 | 넷/네 | 다섯 | 여섯 | 일곱 | 여덟 | 아홉 | 열"),
    ordinals=phrases("첫번째/첫 번째 | 두번째/두 번째 | 세번째/세 번째 | 네번째/네 번째"),
    last=phrases("마지막"),
)
