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
        adverbs=_("ly"),
        both=_("both | the two of them"),
        neither=_(
            "both are false | both are wrong | both statements are false | both false | both wrong | both incorrect | "
            "neither | none | none of | nobody | no one | not either | nothing"
        ),
        every=_(
            "all of the above | all of them | all of these | all the above | all three | all four | all options | "
            "all are"
        ),
        absences=_(
            "there is no | there are no | there isn't | there aren't | there is not | there are not | "
            "is not visible | are not visible | I don't see | I do not see | doesn't have | does not have | "
            "cannot be seen | can't be seen | isn't any | aren't any | there are not any | is absent | "
            "doesn't appear | does not appear | does not show | doesn't show | isn't visible | is not present"
        ),
        openings=_(
            "it is | it's | this is | that is | that's | they are | these are | the image shows | the picture shows | "
            "the photo shows | the image depicts | the picture depicts | I see | I can see | there is | there are"
        ),
        relations=_(
            "on | under | behind | near | next to | beside | with | over | by | above | below | inside | than | "
            "onto | around | like | between | through | against | without | unlike"
        ),
        answer=_(
            "in my opinion | in my view | I think it's | I think it is | I believe it's | I believe it is | "
            "I'd guess | I change it to | change it to | change my answer to | change that to | switch to | "
            "changing it to | I'd change to | I revise it to | revise my answer to | correct that to | "
            "let me correct that to | make that | I mark | I'd mark | I'd select | I would select | I'd answer | "
            "I lean towards | I'm leaning towards | I lean toward | leaning towards | leaning toward | my guess is | "
            "my best guess is | final choice | pick | choose | select | go with | best guess | I vote for | "
            "my bet is | verdict | the one that matches is | the one that fits is | best match is | "
            "most accurate is | solution | correct letter | right letter | chosen option | selected option | "
            "I settle on | I settle for | settle on | settling on | I opt for | opting for | my choice | "
            "my final choice | my vote | answer | answers | correct option | correct choice | best option | "
            "best choice | right option | I choose | I pick | I select | I'd choose | I would choose | I'd pick | "
            "I'll go with | I'd go with | I would go with | I go with | I'd say | I would say | my pick | "
            "correct one | right one | I'm going with"
        ),
        option=_("option | options | choice | letter | alternative"),
        fillers=_(
            "also | of course | without | doubt | indeed | I | believe | think | guess | suppose | be | pretty | "
            "very | quite | perhaps | maybe | here | hence | so | in | fact | 's | but | of | on | at | from | is | "
            "are | was | would | will | should | must | the | a | an | my | it | it's | its | that | option | "
            "choice | letter | correct | best | right | final | clearly | probably | likely | most | therefore | "
            "thus | definitely | simply | to | this | question | one | both | all | looks | like | seems | appears | "
            "as | for | sure"
        ),
        refusals=_(
            "I cannot identify | I can't identify | unable to identify | can't provide | cannot provide | "
            "I can't view | I cannot view | can't assist | not able to | there is no image | no image attached | "
            "please provide the image | please upload | Sorry, I can't help with | I can't process this | "
            "without the image provided | Cannot determine the answer | I cannot answer | I can't answer | "
            "I'm unable to answer | I am unable to | I'm unable to | I cannot determine | I can't determine | "
            "I can't help with | I cannot help with | I cannot assist | I can't assist | unable to determine | "
            "I cannot see the image | I can't see the image | I don't see any image | no image was provided | "
            "I do not know | I don't know"
        ),
        negations=_(
            "don't think it's | don't think it is | do not think it is | don't believe it is | don't believe it's | "
            "don't think this is | don't see | doubt it's | isn't likely to be | nobody is | no one is | nobody | "
            "no one | none of them is | don't | do not | doesn't | does not | didn't | hardly | unlikely to be | "
            "I doubt | can hardly be | far from | neither is it | n't | not | isn't | aren't | never | neither | "
            "nor | no | can't be | cannot be | can not be | couldn't be | could not be | rather than | instead of | "
            "isn't it | wasn't | won't be"
        ),
        denials=_(
            "is close | are close | comes close | come close | is tempting | looks tempting | is wrong | are wrong | "
            "is incorrect | are incorrect | is not | isn't | are not | aren't | is not correct | is false | "
            "is not it | does not match | do not match | doesn't match | don't match | does not fit | do not fit | "
            "doesn't fit | don't fit | can be ruled out | is ruled out | are ruled out | can be excluded | "
            "can be eliminated | is out | are out | is not right | are false | isn't right | is not the answer | "
            "can't be | cannot be | does not apply | do not apply | makes no sense | don't make sense | "
            "does not work | doesn't work | don't work | is not present | was not it | is not visible | "
            "is not shown | is not there"
        ),
        conclusions=_(
            "i.e. | that is | namely | meaning | which makes | which means | in other words | I conclude | "
            "we conclude | consequently | accordingly | as a result | it follows that | all in all | overall | "
            "to sum up | that means | this means | therefore | thus | hence | in conclusion | in summary | so | "
            "which leaves | that leaves | leaves | leaving | actually | no wait | wait | wait no | or rather | "
            "correction | scratch that | on closer inspection | on second thought | what remains is"
        ),
        alternatives=_("or | either"),
        joiners=_("or | and | nor | as well as | and also | and/or"),
        articles=_("the | a | an"),
        words=_("A | I"),
        endings=_("s | es | ish"),
        exclusions=_(
            "rule out | ruled out | ruling out | rules out | exclude | excluded | excluding | eliminate | "
            "eliminated | eliminating | discard | dismiss | except | other than"
        ),
        affirmations=_(
            "is correct | is right | is the correct | is the right | is the answer | is the best | is the one | "
            "is my answer | fits best | matches best | it is | is true"
        ),
        impressions=_(
            "my first answer | my initial answer | my earlier answer | I said | I initially said | "
            "I previously said | my first thought | my first guess | first thought | my initial thought | "
            "I was going to say | tempted to say | my first instinct | my gut says | at first glance | "
            "at first sight | at first | initially | originally | one might think | one might say | you might think | "
            "it may seem | it might seem | I thought | I first thought"
        ),
        turns=_("but | however | yet | on closer inspection | actually | in fact | in reality"),
        yes=_("yes | correct | right | true | ✓ | ✔ | ✅"),
        no=_("no | incorrect | wrong | false | ✗ | ✘ | ❌ | ×"),
        concessions=_(
            "while | whereas | whilst | granted | between | as opposed to | compared with | compared to | unlike | "
            "besides | although | though | even though | even if | despite | if | had it been | while it may | "
            "while it might | while it looks"
        ),
        results=_(
            "in total | in all | altogether | sums to | sum to | gives | you get | we get | amounts to | therefore | "
            "equals | makes | total is | total of | total | adds up to | add up to | sum is | sum of | comes to | "
            "leaves | exact count is | count is | number is"
        ),
        totals=_("in all | in total | altogether | all told | remain | are left | is left"),
        only=_("only | just | exactly"),
        single=_("single | sole | lone"),
        seemings=_(
            "could have been | would suggest | would be | might pass for | can be mistaken for | looks a bit like | "
            "might suggest | may suggest | suggests | suggest | looks like | seems | seems to be | appears to be | "
            "could be | might be | may be | resembles | hint at | hints at"
        ),
    ),
    "zh": Language(
        scripts=_("CJK"),
        both=_(
            "都正确 | 都对 | 均正确 | 均为 | 皆 | 均是 | 全对 | 都成立 | 两只都 | 两个都 | 两者都 | 二者都 | 两种都 | "
            "两人都 | 两只动物都 | 两位都 | 他们都 | 它们都 | 她们都 | 都是 | 都有 | 都在 | 两者皆 | 两者 | 同时"
        ),
        neither=_(
            "都是错 | 都错 | 均不 | 均错 | 都有误 | 皆不 | 都不 | 都没 | 没有一个 | 两者都不 | 谁也没 | 谁都没 | "
            "皆非 | 都非 | 没有任何 | 以上都不"
        ),
        every=_("以上都是 | 以上全部 | 全部都 | 所有选项 | 全都是 | 以上皆是 | 全部正确"),
        absences=_("没有 | 看不到 | 并没有 | 没看到 | 不存在 | 并无 | 未见 | 没看见 | 未显示"),
        openings=_(
            "是 | 属于 | 为 | 这是 | 图中是 | 图片中是 | 图里是 | 图中有 | 图片显示的是 | 图中显示的是 | 图片显示 | "
            "图中显示 | 那是 | 它是 | 这应该是 | 这张图是 | 画面中是"
        ),
        relations=_("比 | 与 | 跟 | 除了 | 像"),
        places=_("上 | 里 | 下 | 旁边 | 旁 | 后面 | 前面 | 中 | 边 | 的"),
        answer=_(
            "我会说 | 在我看来 | 个人认为是 | 改为 | 改成 | 改选 | 更正为 | 修正为 | 应改为 | 我倾向于 | 倾向于 | "
            "倾向 | 最佳答案 | 最佳选项 | 猜测是 | 我猜是 | 我猜 | 勾选 | 填 | 解答 | 结论 | 正确答案 | 正确的答案 | "
            "最符合的是 | 最合适的是 | 我的判断是 | 我投 | 我的选择 | 我的答案 | 最终选择 | 最终答案 | 应当选 | "
            "答案 | 正确选项 | 正确的选项 | 正解 | 应选 | 应该选 | 我选 | 我会选 | 选择 | 故选 | 选 | 正确的是 | "
            "我认为是 | 我觉得是 | 答"
        ),
        option=_("选项 | 项 | 字母 | 号"),
        fillers=_(
            "也 | 同样 | 显然 | 明显 | 肯定 | 毫无疑问 | 无疑 | 当然 | 大概 | 很可能 | 最有可能 | 最佳 | 最合适 | "
            "而是 | 而 | 在 | 位于 | 属于 | 是 | 为 | 應該 | 应该 | 应 | 就 | 即 | 的 | 选项 | 选择 | 选 | 第 | 个 | "
            "项 | 正确 | 我 | 会 | 字母 | 可能 | 最终"
        ),
        refusals=_(
            "无法辨认 | 没有看到图片 | 没有图片 | 请上传 | 请提供图片 | 无法辨别 | 无法得知 | 无法访问 | 无法回答 | "
            "无法确定 | 无法判断 | 不能回答 | 不能确定 | 无法提供 | 无法识别 | 无法查看 | 看不到图 | 抱歉，我 | "
            "很抱歉 | 对不起，我 | 無法回答 | 無法確定 | 我不知道"
        ),
        negations=_(
            "没有人 | 没人 | 不像 | 不认为是 | 不觉得是 | 看不出 | 不太可能是 | 不可能 | 不存在 | 不在 | 不位于 | "
            "没在 | 并没有 | 并不是在 | 不属于 | 没有在 | 不是 | 不是在 | 并不在 | 不选 | 并非 | 非 | 不应选 | 没有 | "
            "不可能是 | 不会是 | 而不是 | 而非 | 并不是 | 不应该是 | 不该选 | 不能选"
        ),
        denials=_(
            "不对 | 是错的 | 错误 | 不正确 | 是错误的 | 都不对 | 都错 | 不可能 | 不符合 | 不符 | 与图片不符 | "
            "与图不符 | 可以排除 | 被排除 | 不合适 | 排除 | 错 | 均不符合 | 都不符合 | 均不正确 | 都不正确 | 不成立"
        ),
        conclusions=_(
            "综上可知 | 可知 | 可见 | 由此可见 | 说明是 | 换句话说 | 也就是说 | 这说明 | 总之 | 总的来说 | 由此 | "
            "结论是 | 说明这是 | 表明 | 说明 | 也就是 | 即为 | 故 | 因此 | 所以 | 综上 | 综上所述 | 只剩 | 剩下 | "
            "那么 | 其实 | 实际上 | 更正 | 不对 | 应该是 | 应为 | 就是 | 于是"
        ),
        alternatives=_("或 | 或者 | 还是"),
        joiners=_("或 | 或者 | 和 | 与 | 还是 | 以及 | 及 | 跟"),
        articles=_("一个 | 一只 | 一条 | 一张"),
        labels=_labels("甲 乙 丙 丁 戊 | 一 二 三 四 五"),
        exclusions=_("排除 | 除了 | 除去"),
        affirmations=_("是正确的 | 正确 | 是对的 | 是正确答案 | 是答案 | 符合 | 最符合 | 最合适 | 才对 | 才是"),
        impressions=_(
            "我之前 | 之前选 | 原先 | 原来选 | 起初选 | 刚才 | 第一反应 | 第一眼 | 乍看 | 起先 | 乍一看 | 起初 | "
            "一开始 | 最初 | 刚开始 | 看起来像 | 看似 | 原以为 | 我以为 | 本来以为"
        ),
        turns=_("但是 | 但 | 不过 | 然而 | 其实 | 实际上 | 仔细"),
        yes=_("是的 | 有 | 没错 | 对的 | 有的 | 符合 | 符合题意 | 正确的 | 吻合 | 是 | 对 | 正确 | ✓ | ✔ | ✅"),
        no=_(
            "不是 | 没有 | 不 | 没 | 并不是 | 并没有 | 不是的 | 排除 | 不符合 | 不符 | 错误的 | 不选 | 不符合题意 | "
            "否 | 错 | 错误 | 不对 | 不正确 | ✗ | ✘ | ❌ | ×"
        ),
        concessions=_("与其 | 不同于 | 相比 | 虽然 | 尽管 | 即使 | 即便 | 如果 | 假如 | 要是 | 若是 | 假设 | 虽说"),
        results=_(
            "共 | 合起来 | 加起来 | 总计 | 总和 | 一起 | 等于 | 总共有 | 总共 | 一共有 | 一共 | 共有 | 共计 | 合计 | "
            "总数是 | 总数为 | 还剩 | 剩下 | 得到 | 得"
        ),
        only=_("只有 | 仅有 | 只看到 | 只见 | 仅 | 只"),
        seemings=_("有可能是 | 也许是 | 或许是 | 像是 | 很像 | 看起来像 | 看起来 | 看上去 | 好像 | 似乎 | 可能是"),
    ),
    "pt": Language(
        scripts=_("LATIN"),
        adverbs=_("mente"),
        both=_("ambos | ambas | os dois | as duas | tanto"),
        neither=_(
            "ambas são falsas | ambas são incorretas | as duas são falsas | ambas falsas | ambos falsos | nenhum | "
            "nenhuma | nem um | ninguém | nada"
        ),
        every=_(
            "todas as anteriores | todas as alternativas | todos os anteriores | todas elas | todos eles | "
            "todas estão | todas as opções"
        ),
        absences=_(
            "não há | não tem | não existe | não vejo | não aparece | não se vê | não é possível ver | "
            "não está presente | não mostra | não existem | não aparecem | inexiste"
        ),
        openings=_(
            "é | é um | é uma | isto é | isso é | trata-se de | a imagem mostra | a foto mostra | são | vejo | há | "
            "este é | esta é | esse é | essa é"
        ),
        relations=_(
            "sobre | sob | atrás | perto | ao lado | com | junto | embaixo | dentro | que | entre | sem | como"
        ),
        answer=_(
            "a meu ver | na minha opinião | para mim é | penso que é | acho que é | mudo para | troco para | "
            "mudo minha resposta para | corrijo para | altero para | mudaria para | marcaria | marco | marque | "
            "assinalo | assinalaria | assinale | escolheria | a melhor opção é | meu palpite é | aposto na | "
            "aposto em | selecione | seleciono | escolha | solução | opção certa | alternativa certa | letra certa | "
            "conclusão | inclino-me para | a que melhor se encaixa é | minha opção é | minha escolha | "
            "minha resposta | decido por | decido-me por | opto pela | opto pelo | resposta | respostas | "
            "opção correta | alternativa correta | letra correta | gabarito | escolho | eu escolheria | fico com | "
            "eu diria | o correto é | a correta é | a certa é | o certo é | opto por | vou de"
        ),
        option=_("opção | letra | alternativa | item"),
        fillers=_(
            "também | seja | se | esta | é | esse | aquela | isso | isto | claro | sem | dúvida | talvez | acho | "
            "creio | que | acredito | sendo | aqui | então | portanto | pois | mas | de | do | da | em | no | na | "
            "e | será | seria | a | o | as | os | correta | correto | certa | certo | opção | letra | alternativa | "
            "final | para | minha | sua | essa | pergunta | deve | ser | provavelmente | à"
        ),
        refusals=_(
            "não consigo identificar | não posso identificar | não consigo reconhecer | não consigo visualizar | "
            "não tenho como | envie a imagem | não foi possível | não posso responder | não consigo responder | "
            "não é possível determinar | não posso ajudar | não consigo determinar | não consigo ver | "
            "não posso ver | desculpe, mas | desculpe, não | lamento, mas | sinto muito, mas | não sei"
        ),
        negations=_(
            "ninguém | não acho que seja | não creio que seja | não acredito que seja | duvido que seja | "
            "não me parece | dificilmente | em vez da | em vez do | não parece | não se trata de | não se trata do | "
            "não se trata da | não corresponde a | não | nem | nunca | não é | não está | não estão | não há | "
            "não tem | não existe | não vejo | não pode ser | não podem ser | em vez de | e não"
        ),
        denials=_(
            "está errada | está errado | estão erradas | estão errados | é incorreta | é falsa | incorreta | errada | "
            "não corresponde | não correspondem | não se encaixa | não se encaixam | não combina | não combinam | "
            "não pode ser | não podem ser | está descartada | são falsas | são incorretas | estão incorretas | "
            "está incorreta | não está correta | não serve | não servem"
        ),
        conclusions=_(
            "concluo que | conclui-se que | consequentemente | em suma | em resumo | o que significa | "
            "isso significa | quer dizer | dessa forma | sendo assim | dito isso | ou seja | isto é | de modo que | "
            "trata-se de | portanto | logo | em conclusão | então | assim | resta | só resta | sobra | restando | "
            "na verdade | aliás | ou melhor | olhando melhor | correção | por isso"
        ),
        inflecting=True,
        alternatives=_("ou"),
        joiners=_("ou | e | quanto | como | bem como | e também"),
        articles=_("o | a | os | as | um | uma | uns | umas"),
        words=_("A | E | O | É | À"),
        endings=_("s | es"),
        exclusions=_("descarto | descartando | descartamos | excluo | excluindo | elimino | eliminando | exceto"),
        affirmations=_(
            "está correta | está correto | está certa | está certo | é a correta | é o correto | é a certa | "
            "é a resposta | é correta | é a alternativa correta | é a opção correta | é a melhor"
        ),
        impressions=_(
            "minha primeira resposta | antes eu disse | havia dito | eu tinha dito | meu primeiro palpite | "
            "minha primeira impressão | meu primeiro pensamento | de início | num primeiro momento | "
            "à primeira vista | no começo | no início | a princípio | inicialmente | pensei que | pensei em | "
            "achei que | parece ser"
        ),
        turns=_("mas | porém | no entanto | contudo | todavia | na verdade"),
        yes=_("sim | correto | correta | certo | certa | verdadeiro | verdadeira | ✓ | ✔ | ✅"),
        no=_("não | incorreto | incorreta | errado | errada | falso | falsa | ✗ | ✘ | ❌ | ×"),
        concessions=_(
            "enquanto | por mais que | ao passo que | entre a | entre as | entre o | entre | ao contrário de | "
            "comparado com | diferente de | diferentemente de | embora | ainda que | mesmo que | apesar de | "
            "se bem que | se fosse | se fossem | se estivesse | se houvesse | caso fosse"
        ),
        results=_(
            "total | no total | ao todo | somando | somam | soma de | igual a | dá | dão | dando | totalizando | "
            "totaliza | total de | total é | soma é | resulta em | sobram | restam | ficam"
        ),
        totals=_("ao todo | no total | no todo | ao total"),
        only=_("só | somente | apenas | exatamente"),
        single=_("único | única"),
        inflections=_(
            "ando | endo | indo | ado | ido | ada | ida | aram | eram | iram | ava | avam | idade | eza | amento | "
            "ação | inha | inho"
        ),
        seemings=_(
            "pode ser | podia ser | talvez seja | talvez fosse | parece | pareceria | parecia | pode parecer | "
            "sugere | sugerem | lembra | poderia ser"
        ),
    ),
    "ar": Language(
        scripts=_("ARABIC"),
        both=_("كلاهما | كلتاهما | كلا | كلتا | كليهما | كلتيهما | الاثنان | الاثنين | معا | كل من"),
        neither=_(
            "كلاهما خطأ | كلتاهما خطأ | خاطئتان | خاطئان | لا أحد | لا شيء | أي منهما | أيا منهما | لا هذا ولا | "
            "لا واحد | لا شيء مما | لا أي"
        ),
        every=_("جميع ما سبق | كل ما سبق | جميعها | جميع الخيارات | كلها | كل الخيارات | جميعهم"),
        absences=_(
            "لا يوجد | لا توجد | ليس هناك | لا أرى | لا يظهر | لا تظهر | لا يمكن رؤية | ليس هنالك | لا وجود | لم يظهر"
        ),
        openings=_(
            "هذا | هذه | إنه | إنها | هو | هي | تظهر الصورة | تظهر في الصورة | الصورة تظهر | يوجد في الصورة | أرى | "
            "هناك | يوجد | توجد"
        ),
        relations=_("على | بجانب | تحت | فوق | خلف | أمام | مع | قرب | بالقرب من | بين | داخل | مثل | بدون"),
        answer=_(
            "أقول | سأقول | أظن أنه | أظن أنها | في رأيي | برأيي | أغيرها إلى | أغير إجابتي إلى | أغير جوابي إلى | "
            "أصححها إلى | أعدلها إلى | سأختار | أرجح | أرى أن | اختر | نختار | الحل | اختياري هو | أميل إلى | "
            "تخميني | أعتقد أنها | أعتقد أنه | الجواب الصحيح | الخيار الأنسب | الإجابة الأنسب | أفضل خيار | "
            "الاختيار | الصحيح | الصحيحة | اختياري | خياري | جوابي | الإجابة | إجابة | الجواب | جواب | "
            "الاختيار الصحيح | الخيار الصحيح | إجابتي | أختار | اخترت | الصحيح هو | الصحيحة هي | الأصح هو"
        ),
        option=_("الخيار | خيار | الحرف | حرف | الاختيار | البديل | الإجابة رقم | رقم"),
        fillers=_(
            "أيضا | كذلك | بوضوح | بالتأكيد | قطعا | بلا شك | غالبا | حتما | على الأرجح | طبعا | تحديدا | بل | إلى | "
            "في | من | عن | هي | هو | الصحيحة | الصحيح | صحيحة | الخيار | الحرف | الاختيار | تكون | النهائية | "
            "الأصح | إن | أن | على | هذا | السؤال | كالتالي | التالية | ستكون"
        ),
        refusals=_(
            "لا يمكنني التعرف | لا أستطيع التعرف | لا يمكن التعرف | يرجى إرفاق | لا أرى أي صورة | لا توجد صورة | "
            "لا أستطيع | لا يمكنني | لا يمكن تحديد | لا استطيع | عذرا | آسف | أعتذر | غير قادر على | لا أعرف | "
            "تعذر علي"
        ),
        negations=_(
            "لا أحد | لا أظن أنه | لا أظن أنها | لا أعتقد أنه | لا أعتقد أنها | لم | لن | ما من | أشك في أن | "
            "لا يبدو | لا تبدو | وليس | غير | ليس | ليست | لا | وليست | ولا | فليس | فليست | ولیس | لا يوجد | "
            "لا توجد | ليس هناك | لا أرى | لا يمكن أن تكون | لا يمكن أن يكون | بدلا من"
        ),
        denials=_(
            "خطأ | خاطئ | خاطئة | غير صحيح | غير صحيحة | ليس | ليست | لا تطابق | لا يطابق | فلا تطابق | لا تتطابق | "
            "لا يتطابق | لا تناسب | لا يناسب | مستبعد | مستبعدة | غير مناسب | غير مناسبة | خاطئان | غير صحيحين | "
            "لا يصح"
        ),
        inflecting=True,
        conclusions=_(
            "أي | يعني | بمعنى | ما يعني | مما يعني | مما يدل على | أستنتج أن | أستنتج أنها | أستنتج أنه | "
            "وهذا يعني | فهو | فهي | أي أنها | أي أنه | وعليه | لذلك | إذن | بالتالي | إذا | لذا | يبقى | تبقى | "
            "وبالتالي | في الواقع | في الحقيقة | بل | وإنما | إنما | ومن ثم"
        ),
        alternatives=_("أو | أم | إما"),
        joiners=_("أو | و | أم"),
        labels=_labels("أ ب ج د ه | ا ب ت ث | ألف باء جيم دال هاء"),
        prefixes=_("ال | و | ب | ل | ك | ف | وال | بال | لل | كال | فال"),
        exclusions=_("أستبعد | استبعد | باستبعاد | نستبعد | ما عدا | باستثناء"),
        affirmations=_(
            "صحيح | صحيحة | هو الصحيح | هي الصحيحة | هي الإجابة | هو الجواب | هي الإجابة الصحيحة | هو الأصح"
        ),
        impressions=_(
            "إجابتي الأولى | قلت سابقا | كنت قد قلت | أول ما خطر | انطباعي الأول | في أول الأمر | بدا لي | "
            "للوهلة الأولى | في البداية | يبدو للوهلة الأولى | ظننت | اعتقدت"
        ),
        turns=_("لكن | ولكن | إلا أن | غير أن | في الواقع"),
        yes=_("نعم | صحيح | صحيحة | ✓ | ✔ | ✅"),
        no=_("لا | خطأ | خاطئ | خاطئة | ✗ | ✘ | ❌ | ×"),
        concessions=_(
            "بينما | في حين | مع ذلك فإن | بين | على عكس | مقارنة ب | بخلاف | لو كان | لو كانت | لو كانوا | لو أن | "
            "رغم | برغم | على الرغم | بالرغم | مع أن | وإن كان | وإن كانت | حتى لو"
        ),
        results=_(
            "بالمجموع | في المجموع | إجمالا | النتيجة | المجموع هو | ليصبح المجموع | يساوي | تساوي | المجموع | "
            "مجموعها | مجموعهم | إجمالي | الإجمالي | الناتج | يبقى | ليصبح | ليكون المجموع"
        ),
        totals=_("إجمالا | في المجموع | في المجمل"),
        only=_("فقط | سوى | إلا"),
        single=_("وحيد | وحيدة"),
        seemings=_(
            "قد يبدو | قد تبدو | ربما يكون | ربما تكون | يشبه | تشبه | يبدو | تبدو | قد يكون | قد تكون | يوحي | "
            "توحي | ربما"
        ),
        endings=_("ا | ه"),
    ),
    "tr": Language(
        scripts=_("LATIN"),
        both=_("ikisi de | ikisi | her ikisi | her iki | ikisi birden | hem"),
        neither=_(
            "ikisi de yanlış | her ikisi de yanlış | hiçbiri | hiçbir | hiç kimse | hiç biri | ikisi de değil | ne"
        ),
        every=_("yukarıdakilerin hepsi | hepsi | tümü | tamamı"),
        absences=_(
            "yok | yoktur | bulunmuyor | görünmüyor | görülmüyor | bulunmamaktadır | görünmemektedir | mevcut değil | "
            "göremiyorum | yer almıyor"
        ),
        openings=_("bu | bu bir | bunlar | resimde | görselde | fotoğrafta | resimdeki | görseldeki | burada | o bir"),
        relations=_("gibi"),
        places=_(
            "üzerinde | üstünde | yanında | altında | içinde | arkasında | önünde | üzerindeki | üstündeki | "
            "yanındaki | altındaki | içindeki | arkasındaki | önündeki | ile | gibi | kadar"
        ),
        negated=_("miyor | muyor | mamakta | memekte | maz | mez | madi | medi | mamis | memis | mayan | meyen"),
        answer=_(
            "diyebilirim | düşünüyorum ki | kanaatimce | bana göre | olarak değiştiriyorum | olarak düzeltiyorum | "
            "işaretlerim | işaretliyorum | seçerim | tahminim | seçtim | seçim | çözüm | karar | doğru harf | "
            "en uygun seçenek | en iyi seçenek | en uygunu | oyum | tercih ederim | kararım | seçiyorum | cevabımız | "
            "cevap | cevabı | cevabım | yanıt | yanıtı | yanıtım | doğru seçenek | doğru şık | doğrusu | doğru olan | "
            "tercihim | seçimim | bence"
        ),
        option=_(
            "seçenek | seçeneği | seçeneğidir | seçeneğini | seçeneğinde | seçeneğinin | seçeneğine | şık | şıkkı | "
            "şıkkıdır | şıkkını | şıkkında | şıkkının | şıkkına | harf | harfi | harfidir"
        ),
        fillers=_(
            "da | de | yi | yı | yu | yü | i | ı | u | ü | dir | dır | tir | tır | ye | ya | e | a | nin | nın | "
            "açıkça | elbette | tabii | muhtemelen | sanırım | galiba | şüphesiz | net | net bir şekilde | sonuç | "
            "nihai | son | doğru | olan | olarak | seçenek | seçeneği | şık | şıkkı | harfi | harf | bu | sorunun | "
            "için | kesinlikle | büyük | ihtimalle | ise | olmalı | olur | her | ikisi | hepsi | tüm"
        ),
        refusals=_(
            "tanımlayamam | tanımlayamıyorum | belirleyemem | görüntüleyemiyorum | görsel yok | söyleyemem | "
            "üzgünüm | cevaplayamam | cevap veremem | yanıtlayamam | yanıt veremem | cevaplayamıyorum | "
            "yanıtlayamıyorum | belirleyemiyorum | maalesef | yardımcı olamam | göremiyorum | bilmiyorum"
        ),
        negations=_("kimse | hiç kimse | değil"),
        denials=_(
            "eliyorum | elerim | eliyoruz | eleriz | çıkarıyorum | dışlıyorum | ele alınmaz | olduğunu sanmıyorum | "
            "olduğunu düşünmüyorum | olduğunu zannetmiyorum | sanmıyorum | olabilir ama | olabilir ancak | "
            "olabilir fakat | olamayacağı için | denemez | söylenemez | olması mümkün değil | olma ihtimali düşük | "
            "görünmüyor | bulunmuyor | olmadığı için | gibi görünüyor ama | gibi görünüyor fakat | "
            "gibi görünüyor ancak | gibi duruyor ama | sanılıyor ama | gibi görünüyordu ama | olsaydı | olsa da | "
            "olsa bile | gibi görünse de | gibi görünse bile | gibi dursa da | sanılabilir | yerine | değil | "
            "değildir | yanlış | yanlıştır | hatalı | olamaz | uymuyor | uyuşmuyor | eşleşmiyor | yok | yoktur | "
            "elenir | eleniyor | elendi | doğru değil | doğru değildir | olmaz | resimle uyuşmuyor | "
            "görselle uyuşmuyor | resme uymuyor | hatalıdır | geçersiz"
        ),
        conclusions=_(
            "sonuç itibarıyla | özetle | kısacası | demek oluyor ki | buradan | böylece | bu da | anlamına gelir | "
            "o yüzden | o zaman | bundan ötürü | bundan dolayı | bu durumda | buna göre | bu nedenle | dolayısıyla | "
            "sonuç olarak | yani | öyleyse | o halde | demek ki | geriye | aslında | gerçekte | daha doğrusu | "
            "bu yüzden | dolayısı ile | sonuçta"
        ),
        alternatives=_("veya | ya da | yahut | yoksa | mi | mı | mu | mü"),
        joiners=_("da | mi | mı | mu | mü | veyahut | veya | ya da | ve | yahut | hem | hem de | ile"),
        articles=_("bir"),
        words=_("O | E"),
        suffixing=True,
        affirmations=_(
            "seçiyorum | seçerim | işaretliyorum | işaretlerim | tercih ediyorum | tercih ederim | diyorum | derim | "
            "en uygun | en uygunu | en doğrusu | olmalı | olmalıdır | cevaptır | yanıttır | doğru | doğrudur | "
            "doğru cevap | doğru cevaptır | doğru seçenek | doğru seçenektir | uygun | uygundur | doğru yanıttır"
        ),
        impressions=_(
            "ilk cevabım | önce dediğim | daha önce | ilk tahminim | ilk düşüncem | ilk izlenimim | ilk anda | "
            "ilk aklıma | ilk bakışta | başta | önce | ilk başta | ilk önce | sandım"
        ),
        turns=_("ama | ancak | fakat | aslında | oysa | lakin"),
        yes=_("evet | doğru | ✓ | ✔ | ✅"),
        no=_("hayır | yanlış | değil | ✗ | ✘ | ❌ | ×"),
        concessions=_("her ne kadar | eğer"),
        results=_("toplamda | sonuç | hepsi birlikte | yani toplam | toplam | toplamı | sayısı | eşittir"),
        totals=_("kalır | kalıyor | eder | ediyor | yapar | yapıyor | bulunur | etmektedir"),
        only=_("sadece | yalnızca | yalnız"),
        single=_("tek"),
        cases=_("da | de | ta | te"),
        endings=_(
            "dan | den | tan | ten | nın | nin | nun | nün | lar | ler | dandır | dendir | tandır | tendir | dır | "
            "dir | dur | dür | tır | tir | tur | tür | ında | inde | unda | ünde | sında | sinde | ındadır | "
            "indedir | undadır | ündedir"
        ),
    ),
    "ru": Language(
        scripts=_("CYRILLIC"),
        both=_("оба | обе | обоих | обеих | и тот и другой | и та и другая | и то и другое"),
        neither=_(
            "оба неверны | оба ложны | обе неверны | оба утверждения неверны | ни один | ни одна | ни одно | "
            "ни одного | никто | ничего из | ни тот | ни та | ни то | ничто из | нет ни | ни кто"
        ),
        every=_(
            "все вышеперечисленное | всё перечисленное | все перечисленные | все варианты | все из них | все ответы | "
            "все они"
        ),
        absences=_(
            "нет | не видно | отсутствует | отсутствуют | не вижу | не изображено | не изображён | не изображена | "
            "не показано | не наблюдается | не имеется"
        ),
        openings=_(
            "это | на картинке | на фото | на изображении | на фотографии | на снимке | на рисунке | я вижу | "
            "изображён | изображена | изображено | перед нами | здесь"
        ),
        relations=_(
            "на | под | за | рядом с | возле | около | с | со | над | перед | между | без | как | чем | к | по"
        ),
        answer=_(
            "я бы сказал | я бы сказала | сказал бы | сказала бы | я думаю | думаю, что это | полагаю | считаю | "
            "меняю на | меняю ответ на | меняю его на | исправляю на | заменяю на | отметил | отметила | отмечаю | "
            "отмечу | я отвечу | отвечу | мой вариант | мой ответ | выберу | выбор | решение | голосую за | "
            "предпочту | я за | вывод | подойдёт | лучше всего подходит | моя догадка | выбрала | выбрал | "
            "мой выбор | останавливаюсь на | склоняюсь к | остановлюсь на | ответ | ответом | правильный вариант | "
            "верный вариант | правильная буква | правильный выбор | выбираю | я выбираю | я бы выбрал | "
            "я бы выбрала | верно | правильно | верный ответ"
        ),
        option=_(
            "вариант | варианта | варианту | вариантом | варианте | варианты | буква | буквы | букву | буквой | "
            "букве | пункт | пункта | пункту | пунктом | пункте | ответ под буквой | номер"
        ),
        fillers=_(
            "тоже | также | очевидно | однозначно | безусловно | несомненно | вероятно | точно | конечно | видимо | "
            "пожалуй | наверное | скорее всего | именно | всё же | все-таки | тут | здесь | а | но | в | из | это | "
            "— | является | будет | правильный | верный | вариант | варианта | буква | пункт | под | буквой | мой | "
            "на | вопрос | этот | скорее | всего | окончательный | ответа | номер"
        ),
        refusals=_(
            "не могу опознавать | не могу опознать | не могу распознать | не могу определить личность | "
            "нет изображения | не удаётся открыть | не удается | не в состоянии | не могу ответить | "
            "не могу определить | невозможно определить | не могу помочь | извините, | извините | к сожалению, я | "
            "не могу дать ответ | не могу увидеть | не вижу изображения | я не знаю | простите,"
        ),
        negations=_(
            "никто | не думаю, что это | не думаю что это | я не думаю, что это | сомневаюсь, что это | "
            "маловероятно, что это | непохоже на | не похоже на | отнюдь не | вовсе не | совсем не | не | ни | "
            "неверно | а не | нет | вместо | не может быть | вряд ли"
        ),
        denials=_(
            "неверно | неверен | неправильно | неправильный | не подходит | не является | ошибочен | не подходят | "
            "не соответствует | не соответствуют | не верен | не верно | не верны | неверны | неправильны | "
            "отпадает | отпадают | исключается | исключаются | не может быть | не годится | не годятся | ошибочны | "
            "исключён | исключены | исключен"
        ),
        conclusions=_(
            "то есть это | делаю вывод | можно сделать вывод | вывод | в итоге | одним словом | иными словами | "
            "получается | это значит | а значит | выходит | отсюда | в общем | так что | то есть | следовательно | "
            "поэтому | итак | таким образом | значит | остаётся | остается | на самом деле | в действительности | "
            "точнее | вернее | поправка | а именно | тогда | стало быть"
        ),
        inflecting=True,
        alternatives=_("или | либо"),
        joiners=_("или | и | либо | так и | а также | да и"),
        words=_("А | В | И | С | К | О | У | Я"),
        labels=_labels("А Б С Д Е | А В С Г Е"),
        exclusions=_("исключаю | исключаем | исключая | исключив | кроме | отбрасываю | отметаю"),
        affirmations=_(
            "верно | верен | верный ответ | правильный ответ | правильно | правильный | верный вариант | "
            "правильный вариант | подходит | подходит лучше | подходит больше"
        ),
        impressions=_(
            "мой первый ответ | раньше я сказал | сначала я сказал | первая мысль | моя первая мысль | "
            "поначалу казалось | показалось | сперва | изначально | на первый взгляд | сначала | поначалу | вначале | "
            "я думал | я подумал | казалось | кажется сначала"
        ),
        turns=_("но | однако | на самом деле | а на деле"),
        yes=_("да | верно | правильно | ✓ | ✔ | ✅"),
        no=_("нет | неверно | неправильно | ✗ | ✘ | ❌ | ×"),
        concessions=_(
            "в то время как | тогда как | пусть | при том что | между | в отличие от | по сравнению с | хотя | "
            "хоть и | если бы | несмотря на | даже если | пусть и | будь это"
        ),
        results=_(
            "в сумме | в общей сложности | получится | выходит | вместе | итог | равно | равняется | итого | всего | "
            "получается | получаем | остаётся | остается | в итоге | общее число"
        ),
        totals=_("в сумме | в общей сложности | всего"),
        only=_("только | лишь | всего | ровно"),
        single=_("единственный | единственная | единственное"),
        inflections=_(
            "ует | уют | ется | ются | ение | ения | ании | ание | ала | али | ила | или | ящий | ющий | ущий | "
            "ивает | ывает | ого | его | ому | ему | ыми | ими | ами | ями"
        ),
        seemings=_(
            "мог бы быть | могла бы быть | могло бы быть | может быть | напоминал бы | похоже на | похож на | "
            "похожа на | похоже | выглядит как | кажется | может показаться | напоминает | наводит на мысль"
        ),
    ),
    "ja": Language(
        scripts=_("CJK | HIRAGANA | KATAKANA"),
        answer=_("答え | 正解 | 回答 | 解答"),
        option=_("選択肢 | 番"),
        fillers=_("は | が | の | 正しい | 選択肢 | 番 | です | 最も | 適切な"),
        refusals=_(
            "答えられません | お答えできません | わかりません | 分かりません | 判断できません | 申し訳ありません | "
            "すみません"
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
            "가 아니라 | 이 아니라 | 가 아닙니다 | 이 아닙니다 | 가 아니고 | 이 아니고 | 가 아니다 | 이 아니다 | "
            "는 틀렸습니다 | 은 틀렸습니다 | 는 아닙니다 | 은 아닙니다"
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
        exclusions=_("descarto | excluyo | descartando"),
        affirmations=_("es correcta | es correcto | es la correcta | es la respuesta"),
        turns=_("pero | sin embargo"),
        impressions=_("a primera vista | al principio"),
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
        exclusions=_("j'exclus | en excluant | j'élimine"),
        affirmations=_("est correcte | est correct | est la bonne | est juste"),
        turns=_("mais | cependant"),
        impressions=_("à première vue | au début"),
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
        exclusions=_("schließe aus | ausgeschlossen"),
        affirmations=_("ist richtig | ist korrekt | ist die richtige | stimmt"),
        turns=_("aber | jedoch"),
        impressions=_("auf den ersten blick | zuerst | zunächst"),
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
        exclusions=_("escludo | escludendo"),
        affirmations=_("è corretta | è corretto | è giusta | è la risposta"),
        turns=_("ma | però | tuttavia"),
        impressions=_("a prima vista | all'inizio"),
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
