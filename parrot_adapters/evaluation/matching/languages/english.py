"""English, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["ENGLISH"]

ENGLISH = Language(
    scripts=phrases("LATIN"),
    answer=phrases(
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
        "correct one | right one | I'm going with | I'm going | I am going | I'm picking | my answer would be | "
        "I'd go for | I'll go for | I go for | I'm choosing"
    ),
    option=phrases("option | options | choice | letter | alternative"),
    fillers=phrases(
        "also | of course | without | doubt | indeed | I | believe | think | guess | suppose | be | pretty | "
        "very | quite | perhaps | maybe | here | hence | so | in | fact | 's | but | of | on | at | from | is | "
        "are | was | would | will | should | must | the | a | an | my | it | it's | its | that | option | "
        "choice | letter | correct | best | right | final | clearly | probably | likely | most | therefore | "
        "thus | definitely | simply | to | this | question | one | both | all | looks | like | seems | appears | "
        "as | for | sure | can | could | may | then | safely | just | number | no. | feeling | s"
    ),
    adverbs=phrases("ly"),
    refusals=phrases(
        "I cannot identify | I can't identify | unable to identify | can't provide | cannot provide | "
        "I can't view | I cannot view | can't assist | not able to | there is no image | no image attached | "
        "please provide the image | please upload | Sorry, I can't help with | I can't process this | "
        "without the image provided | Cannot determine the answer | I cannot answer | I can't answer | "
        "I'm unable to answer | I am unable to | I'm unable to | I cannot determine | I can't determine | "
        "I can't help with | I cannot help with | I cannot assist | I can't assist | unable to determine | "
        "I cannot see the image | I can't see the image | I don't see any image | no image was provided | "
        "I do not know | I don't know"
    ),
    negations=phrases(
        "don't think it's | don't think it is | do not think it is | don't believe it is | don't believe it's | "
        "don't think this is | don't see | doubt it's | isn't likely to be | nobody is | no one is | nobody | "
        "no one | none of them is | don't | do not | doesn't | does not | didn't | hardly | unlikely to be | "
        "I doubt | can hardly be | far from | neither is it | n't | not | isn't | aren't | never | neither | "
        "nor | no | can't be | cannot be | can not be | couldn't be | could not be | rather than | instead of | "
        "isn't it | wasn't | won't be | ain't | doesn't look | does not look | don't look | doesn't seem | "
        "does not seem | not really | not exactly | no longer | not necessarily"
    ),
    denials=phrases(
        "is close | are close | comes close | come close | is tempting | looks tempting | is wrong | are wrong | "
        "is incorrect | are incorrect | is not | isn't | are not | aren't | is not correct | is false | "
        "is not it | does not match | do not match | doesn't match | don't match | does not fit | do not fit | "
        "doesn't fit | don't fit | can be ruled out | is ruled out | are ruled out | can be excluded | "
        "can be eliminated | is out | are out | is not right | are false | isn't right | is not the answer | "
        "can't be | cannot be | does not apply | do not apply | makes no sense | don't make sense | "
        "does not work | doesn't work | don't work | is not present | was not it | is not visible | "
        "is not shown | is not there | crossed out | ruled out | eliminated | excluded | discarded | no way | "
        "seems wrong | seem wrong | looks wrong | is clearly wrong | not it | is unlikely | are unlikely | "
        "seems unlikely | is off | is absent | are absent | is missing"
    ),
    certainties=phrases(
        "no doubt | without doubt | without a doubt | without any doubt | no question | not only | nothing but | "
        "none other than | nothing other than | not hard to see | not difficult to see"
    ),
    exceptions=phrases(
        "except | except for | but | other than | apart from | aside from | besides | excluding | "
        "with the exception of | save for"
    ),
    all_others=phrases(
        "all | every | everything | each | any | none | others | the rest | other options | nobody | no one | nothing"
    ),
    corrections=phrases(
        "no wait | no, wait | wait, no | wait | scratch that | correction | changed my mind | change my mind | "
        "on second thought | hold on | oops | I made a mistake | or rather | let me correct myself | "
        "let me reconsider | let me recheck | let me re-check | sorry, I meant | I meant | I mean | "
        "I stand corrected | correcting myself | let me correct that | I take that back"
    ),
    exclusions=phrases(
        "rule out | ruled out | ruling out | rules out | exclude | excluded | excluding | eliminate | "
        "eliminated | eliminating | discard | dismiss | except | other than"
    ),
    affirmations=phrases(
        "is correct | is right | is the correct | is the right | is the answer | is the best | is the one | "
        "is my answer | fits best | matches best | it is | is true | are correct | are right | are both correct | "
        "are both right | are true | fits better | is better | is the better | is closer | matches better | "
        "suits better | is more likely"
    ),
    conclusions=phrases(
        "i.e. | that is | namely | meaning | which makes | which means | in other words | I conclude | "
        "we conclude | consequently | accordingly | as a result | it follows that | all in all | overall | "
        "to sum up | that means | this means | therefore | thus | hence | in conclusion | in summary | so | "
        "which leaves | that leaves | leaves | leaving | actually | no wait | wait | wait no | or rather | "
        "correction | scratch that | on closer inspection | on second thought | what remains is"
    ),
    impressions=phrases(
        "my first answer | my initial answer | my earlier answer | I said | I initially said | "
        "I previously said | my first thought | my first guess | first thought | my initial thought | "
        "I was going to say | tempted to say | my first instinct | my gut says | at first glance | "
        "at first sight | at first | initially | originally | one might think | one might say | you might think | "
        "it may seem | it might seem | I thought | I first thought | you'd expect | you would expect | "
        "one would expect | one would think | you'd think | I was leaning | I was inclined | I'd have said | "
        "I would have said | I had picked | I initially picked"
    ),
    seemings=phrases(
        "could have been | would suggest | would be | might pass for | can be mistaken for | looks a bit like | "
        "might suggest | may suggest | suggests | suggest | looks like | seems | seems to be | appears to be | "
        "could be | might be | may be | resembles | hint at | hints at"
    ),
    turns=phrases("but | however | yet | on closer inspection | actually | in fact | in reality"),
    concessions=phrases(
        "while | whereas | whilst | granted | between | as opposed to | compared with | compared to | unlike | "
        "besides | although | though | even though | even if | despite | if | had it been | while it may | "
        "while it might | while it looks"
    ),
    hedges=phrases("maybe | perhaps | possibly | or maybe | could also be | might also be"),
    results=phrases(
        "in total | in all | altogether | sums to | sum to | gives | you get | we get | amounts to | therefore | "
        "equals | makes | total is | total of | total | adds up to | add up to | sum is | sum of | comes to | "
        "leaves | exact count is | count is | number is | the difference is | difference is | difference of | "
        "differ by"
    ),
    totals=phrases("in all | in total | altogether | all told | remain | are left | is left"),
    only=phrases("only | just | exactly"),
    single=phrases("single | sole | lone"),
    yes=phrases(
        "yes | correct | right | true | ✓ | ✔ | ✅ | yep | yeah | yup | absolutely | certainly | sure | indeed | "
        "affirmative | of course | definitely | it is | it does | there is | holds | hold | is so"
    ),
    no=phrases(
        "no | incorrect | wrong | false | ✗ | ✘ | ❌ | × | nope | nah | not at all | definitely not | "
        "certainly not | absolutely not | it is not | it isn't | it does not | it doesn't | there isn't | "
        "there is not"
    ),
    both=phrases(
        "both | the two of them | both of them | happen together | occur together | take place together | the two"
    ),
    neither=phrases(
        "both are false | both are wrong | both statements are false | both false | both wrong | both incorrect | "
        "neither | none | none of | nobody | no one | not either | nothing"
    ),
    every=phrases(
        "all of the above | all of them | all of these | all the above | all three | all four | all options | "
        "all are | are all | all the same"
    ),
    absences=phrases(
        "there is no | there are no | there isn't | there aren't | there is not | there are not | "
        "is not visible | are not visible | I don't see | I do not see | doesn't have | does not have | "
        "cannot be seen | can't be seen | isn't any | aren't any | there are not any | is absent | "
        "doesn't appear | does not appear | does not show | doesn't show | isn't visible | is not present"
    ),
    openings=phrases(
        "it is | it's | this is | that is | that's | they are | these are | the image shows | the picture shows | "
        "the photo shows | the image depicts | the picture depicts | I see | I can see | there is | there are"
    ),
    relations=phrases(
        "on | under | behind | near | next to | beside | with | over | by | above | below | inside | than | "
        "onto | around | like | between | through | against | without | unlike | after | before | following | "
        "preceding"
    ),
    synonyms=phrases(
        "sofa/couch | under/underneath/beneath/below | on top of/upon/atop | "
        "next to/beside/alongside/by the side of | behind/at the back of | "
        "happy/glad/joyful/cheerful/happiness/delighted/joy | sad/unhappy/sorrowful/sadness/upset | "
        "angry/mad/furious/anger | scared/afraid/frightened/fearful/fear | "
        "surprised/astonished/amazed/shocked/surprise | tired/exhausted | purple/violet | autumn/fall | "
        "car/automobile | truck/lorry | bicycle/bike/cycle | motorcycle/motorbike | "
        "aeroplane/airplane/plane/aircraft | boat/ship/vessel | man/gentleman/guy | woman/lady | boy/lad | "
        "child/kid/toddler | baby/infant | cat/kitty/kitten | dog/puppy/doggy/pup | rabbit/bunny | chicken/hen | "
        "big/large/huge | small/little/tiny | running/jogging | cooking/preparing food/preparing a meal | "
        "reading/reading a book | sleeping/asleep/napping | eating/having a meal/dining | sunny/sunshine | "
        "rainy/raining | snowy/snowing | cloudy/overcast | foggy/misty/mist | bathroom/washroom/restroom/toilet | "
        "doctor/physician | police officer/policeman/cop/policewoman | firefighter/fireman | teacher/instructor | "
        "student/pupil | football/soccer | film/movie | shop/store | supermarket/grocery store | "
        "cinema/movie theater | increase/rise/grow/goes up | decrease/fall/decline/drop/goes down | "
        "eat/ate/eaten | sleep/slept/asleep | run/ran | swim/swam | drink/drank | write/wrote | drive/drove | "
        "ride/rode | fly/flew | sing/sang/sung | sit/sat/seated | stand/stood | throw/threw/thrown | "
        "catch/caught | buy/bought | hold/held | speak/spoke/talking | wear/wore/wearing | break/broke/broken | "
        "draw/drew/drawn | wood/wooden | gold/golden | wool/woolen | equal/the same/identical | "
        "goes up/rises/increases/increase | goes down/falls/decreases/decrease"
    ),
    conditions=phrases("if | in case | assuming | supposing | provided | when asked about | if you mean"),
    dependences=phrases(
        "depends | depending on | it depends | could be either | can be either | either could be | "
        "can't choose between | cannot choose between | can't decide between | cannot decide between"
    ),
    sides=phrases("left | right | top | bottom | upper | lower | first | second | one | other"),
    additions=phrases("also | too | as well | another | in addition | additionally | a further"),
    undeterminable=phrases(
        "cannot be determined | can't be determined | cannot determine | can't determine | cannot be decided | "
        "can't be decided | impossible to tell | impossible to determine | impossible to say | impossible to know | "
        "not possible to tell | not possible to determine | not possible to say | not possible to know | can't tell | "
        "cannot tell | can't be told | cannot be told | can't say | cannot say | can't be said | cannot be said | "
        "hard to tell | hard to say | no way to tell | no way to know | no way to say | no way of telling | "
        "no way of knowing | not enough information | insufficient information | not enough to tell | unclear | "
        "not clear | uncertain | not certain | undetermined | indeterminate | cannot be known | can't be known | "
        "cannot be inferred | can't be inferred | not sure | unable to determine | unable to tell"
    ),
    beliefs=phrases(
        "many people | some people | most people | people often | people used to | people once | many believe | "
        "many think | many would | many assume | many say | some believe | some think | some would | some say | "
        "some assume | others think | it is often | it is commonly | it is widely | it was once | it was long | "
        "it used to be | formerly | in the past | once upon a time | centuries ago | popular belief | contrary to | "
        "a common misconception | commonly | one could think | someone might think | someone could think | "
        "people think | people believe | people say | it was formerly | it was believed | it was thought"
    ),
    clocks=phrases(
        "+ M past H | - M to H | - M before H | + M after H | - M till H | + H thirty | + M minutes past H | "
        "- M minutes to H | 0 H o'clock"
    ),
    hour_parts=phrases("quarter:15 | a quarter:15 | half:30"),
    shares=phrases(
        "half/one half/a half:1/2 | third/a third/thirds:1/3 | "
        "quarter/a quarter/quarters/fourth/a fourth/fourths:1/4 | fifth/fifths/a fifth:1/5 | "
        "sixth/sixths/a sixth:1/6 | eighth/eighths/an eighth:1/8 | tenth/tenths/a tenth:1/10 | "
        "one out of two/one of two/one in two:1/2 | one out of three/one of three/one in three:1/3 | "
        "one out of four/one of four/one in four:1/4 | two out of three/two of three:2/3 | "
        "three out of four/three of four:3/4"
    ),
    joiners=phrases("or | and | nor | as well as | and also | and/or"),
    alternatives=phrases("or | either"),
    articles=phrases("the | a | an"),
    words=phrases("A | I"),
    endings=phrases("s | es | ish"),
    numbers=phrases(
        "zero | one | two/couple/duo | three/trio | four | five | six | seven | eight | nine | ten | eleven | "
        "twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen | twenty"
    ),
    nothing=phrases("none | no | nothing | nobody | no one | none at all"),
    tens=phrases("twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety"),
    hundreds=phrases("hundred:100 | thousand:1000"),
    number_joiners=phrases("and | -"),
    ordinals=phrases("first/1st | second/2nd | third/3rd | fourth/4th | fifth/5th | sixth/6th"),
    last=phrases("last/final | second to last/second-to-last/next to last/penultimate"),
)
