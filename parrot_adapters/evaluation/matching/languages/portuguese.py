"""Portuguese, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["PORTUGUESE"]

PORTUGUESE = Language(
    scripts=phrases("LATIN"),
    answer=phrases(
        "a meu ver | na minha opinião | para mim é | penso que é | acho que é | mudo para | troco para | "
        "mudo minha resposta para | corrijo para | altero para | mudaria para | marcaria | marco | marque | assinalo | "
        "assinalaria | assinale | escolheria | a melhor opção é | meu palpite é | aposto na | aposto em | selecione | "
        "seleciono | escolha | solução | opção certa | alternativa certa | letra certa | conclusão | inclino-me para | "
        "a que melhor se encaixa é | minha opção é | minha escolha | minha resposta | decido por | decido-me por | "
        "opto pela | opto pelo | resposta | respostas | opção correta | alternativa correta | letra correta | "
        "gabarito | escolho | eu escolheria | fico com | eu diria | o correto é | a correta é | a certa é | "
        "o certo é | opto por | vou de | marcar | vou com | vou com a | escolheria a | diria que é | acho que | "
        "acredito que seja | creio que seja | acredito que é | creio que é | penso que seja | diria que seja | "
        "acho que seja | a mais adequada é | o mais adequado é | a que se encaixa melhor é"
    ),
    option=phrases("opção | letra | alternativa | item | opções | alternativas | opção número | letras"),
    fillers=phrases(
        "também | seja | se | esta | é | esse | aquela | isso | isto | claro | sem | dúvida | talvez | acho | "
        "creio | que | acredito | sendo | aqui | então | portanto | pois | mas | de | do | da | em | no | na | "
        "e | será | seria | a | o | as | os | correta | correto | certa | certo | opção | letra | alternativa | "
        "final | para | minha | sua | essa | pergunta | deve | ser | provavelmente | à | pode | podem | todas | "
        "todos | número | opções | alternativas | são | estão"
    ),
    adverbs=phrases("mente"),
    refusals=phrases(
        "não consigo identificar | não posso identificar | não consigo reconhecer | não consigo visualizar | "
        "não tenho como | envie a imagem | não foi possível | não posso responder | não consigo responder | "
        "não é possível determinar | não posso ajudar | não consigo determinar | não consigo ver | "
        "não posso ver | desculpe, mas | desculpe, não | lamento, mas | sinto muito, mas | não sei"
    ),
    negations=phrases(
        "ninguém | não acho que seja | não creio que seja | não acredito que seja | duvido que seja | "
        "não me parece | dificilmente | em vez da | em vez do | não parece | não se trata de | não se trata do | "
        "não se trata da | não corresponde a | não | nem | nunca | não é | não está | não estão | não há | "
        "não tem | não existe | não vejo | não pode ser | não podem ser | em vez de | e não | "
        "não está nem um pouco | nem um pouco | não parece estar | não parece ser | tampouco | jamais | "
        "não se vê | não tá | não são | não era"
    ),
    denials=phrases(
        "está errada | está errado | estão erradas | estão errados | é incorreta | é falsa | incorreta | errada | "
        "não corresponde | não correspondem | não se encaixa | não se encaixam | não combina | não combinam | "
        "não pode ser | não podem ser | está descartada | são falsas | são incorretas | estão incorretas | "
        "está incorreta | não está correta | não serve | não servem | descartada | descartado | descartadas | "
        "descartados | eliminada | eliminado | eliminadas | eliminados | excluída | excluído | excluídas | "
        "excluídos | não faz sentido | não fazem sentido | são erradas | são errados | é errada | é errado | "
        "não procede | não bate | não se aplica | não se aplicam"
    ),
    certainties=phrases(
        "sem dúvida | sem dúvidas | não há dúvida | não há dúvidas | não só | não apenas | não resta dúvida | "
        "nada mais que"
    ),
    exceptions=phrases(
        "exceto | menos | salvo | fora | com exceção de | com exceção da | com exceção do | tirando | a não ser"
    ),
    all_others=phrases(
        "todas | todos | tudo | as demais | os demais | as outras | os outros | o resto | nenhuma | nenhum | "
        "ninguém | nada"
    ),
    corrections=phrases(
        "não, espera | não, espere | espera | espere | ops | corrigindo | aliás | ou melhor | mudei de ideia | "
        "pensando melhor | me enganei | minto | digo | na verdade, não | deixe-me corrigir | reconsiderando | "
        "corrijo | corrigindo-me | correção | me corrijo | retifico | retificando"
    ),
    exclusions=phrases("descarto | descartando | descartamos | excluo | excluindo | elimino | eliminando | exceto"),
    affirmations=phrases(
        "está correta | está correto | está certa | está certo | é a correta | é o correto | é a certa | "
        "é a resposta | é correta | é a alternativa correta | é a opção correta | é a melhor | estão corretas | "
        "estão corretos | estão certas | estão certos | são corretas | são verdadeiras | é mais adequada | "
        "é mais adequado | se encaixa melhor | é a mais adequada | combina melhor | combina mais"
    ),
    conclusions=phrases(
        "concluo que | conclui-se que | consequentemente | em suma | em resumo | o que significa | "
        "isso significa | quer dizer | dessa forma | sendo assim | dito isso | ou seja | isto é | de modo que | "
        "trata-se de | portanto | logo | em conclusão | então | assim | resta | só resta | sobra | restando | "
        "na verdade | aliás | ou melhor | olhando melhor | correção | por isso"
    ),
    impressions=phrases(
        "minha primeira resposta | antes eu disse | havia dito | eu tinha dito | meu primeiro palpite | "
        "minha primeira impressão | meu primeiro pensamento | de início | num primeiro momento | "
        "à primeira vista | no começo | no início | a princípio | inicialmente | pensei que | pensei em | "
        "achei que | parece ser | eu tinha marcado | tinha marcado | eu tinha escolhido | "
        "eu diria à primeira vista | eu esperava | era de se esperar | meu palpite inicial | "
        "minha resposta inicial | palpite inicial | minha primeira escolha"
    ),
    seemings=phrases(
        "pode ser | podia ser | talvez seja | talvez fosse | parece | pareceria | parecia | pode parecer | "
        "sugere | sugerem | lembra | poderia ser"
    ),
    turns=phrases("mas | porém | no entanto | contudo | todavia | na verdade"),
    concessions=phrases(
        "enquanto | por mais que | ao passo que | entre a | entre as | entre o | entre | ao contrário de | "
        "comparado com | diferente de | diferentemente de | embora | ainda que | mesmo que | apesar de | "
        "se bem que | se fosse | se fossem | se estivesse | se houvesse | caso fosse"
    ),
    hedges=phrases("talvez | quem sabe | possivelmente | também pode ser"),
    results=phrases(
        "total | no total | ao todo | somando | somam | soma de | igual a | dá | dão | dando | totalizando | "
        "totaliza | total de | total é | soma é | resulta em | sobram | restam | ficam | a diferença é de | "
        "diferença é | diferença de | diferença"
    ),
    totals=phrases("ao todo | no total | no todo | ao total"),
    only=phrases("só | somente | apenas | exatamente"),
    single=phrases("único | única"),
    yes=phrases(
        "sim | correto | correta | certo | certa | verdadeiro | verdadeira | ✓ | ✔ | ✅ | com certeza | claro | "
        "claro que sim | exato | exatamente | isso mesmo | há | tem | existe | certamente"
    ),
    no=phrases(
        "não | incorreto | incorreta | errado | errada | falso | falsa | ✗ | ✘ | ❌ | × | de jeito nenhum | negativo | "
        "não há | não tem | não existe | claro que não | nada disso | nem um pouco"
    ),
    both=phrases("ambos | ambas | os dois | as duas | tanto"),
    neither=phrases(
        "ambas são falsas | ambas são incorretas | as duas são falsas | ambas falsas | ambos falsos | nenhum | "
        "nenhuma | nem um | ninguém | nada"
    ),
    every=phrases(
        "todas as anteriores | todas as alternativas | todos os anteriores | todas elas | todos eles | "
        "todas estão | todas as opções | os três | as três | são todas | são todos | os quatro | as quatro"
    ),
    absences=phrases(
        "não há | não tem | não existe | não vejo | não aparece | não se vê | não é possível ver | "
        "não está presente | não mostra | não existem | não aparecem | inexiste"
    ),
    openings=phrases(
        "é | é um | é uma | isto é | isso é | trata-se de | a imagem mostra | a foto mostra | são | vejo | há | "
        "este é | esta é | esse é | essa é"
    ),
    relations=phrases(
        "sobre | sob | atrás | perto | ao lado | com | junto | embaixo | dentro | que | entre | sem | como | "
        "após | depois de | depois da | depois do | antes de | antes da | antes do | seguinte à | seguinte ao"
    ),
    synonyms=phrases(
        "em cima de/sobre/em cima do | em cima da/sobre a/por cima da/na superfície da | "
        "debaixo de/embaixo de/sob | debaixo da/embaixo da/sob a/por baixo da | "
        "debaixo do/embaixo do/sob o/por baixo do | em cima do/sobre o/por cima do | "
        "atrás do/detrás do/por trás do | atrás da/detrás da/por trás da | ao lado da/junto da/junto à | "
        "ao lado do/junto do/junto ao | na frente da/em frente à/diante da | dentro da/no interior da | "
        "dentro do/no interior do | bicicleta/bike | ônibus/autocarro/busão | trem/comboio | carro/automóvel | "
        "caminhão/camião | motocicleta/moto | avião/aeronave | celular/telemóvel | cachorro/cão/cachorrinho | "
        "gato/gatinho/felino/gata | menino/garoto/rapaz/guri | menina/garota/guria | criança/bebê | "
        "feliz/alegre/contente/felicidade/alegria | triste/tristonho/tristeza/chateado/chateada | "
        "bravo/zangado/irritado/com raiva/furioso/raiva/brava/zangada/irritada | "
        "com medo/assustado/amedrontado/medo/assustada | surpreso/espantado/surpresa/surpreendido/surpreendida | "
        "cansado/exausto/cansada | roxo/lilás/violeta/púrpura | marrom/castanho | rosa/cor-de-rosa | "
        "chuvoso/chovendo | com neve/nevando | banheiro/casa de banho | geladeira/frigorífico | suco/sumo | "
        "médico/doutor | professor/docente | ler/lendo | cozinhar/preparar comida/fazer comida | "
        "correr/correndo | dormir/dormindo | aumenta/cresce/sobe | diminui/cai/decresce | madeira/de madeira | "
        "comer/comendo/refeição | dormir/dormindo/adormecida/adormecido"
    ),
    conditions=phrases("se | caso | supondo que | quando se trata"),
    dependences=phrases("depende | dependendo | tanto pode ser | não consigo decidir entre | não sei decidir entre"),
    sides=phrases(
        "esquerda | direita | cima | baixo | primeiro | primeira | segundo | segunda | um | outro | uma | outra"
    ),
    additions=phrases("também | ainda | mais | outra | outro | além disso"),
    undeterminable=phrases(
        "não é possível determinar | não é possível saber | não é possível dizer | não é possível afirmar | "
        "não dá para determinar | não dá para saber | não dá para dizer | não dá para afirmar | não dá pra saber | "
        "não dá pra dizer | não se pode determinar | não se pode afirmar | não se pode dizer | não se pode saber | "
        "não há como saber | não há como determinar | não há como dizer | não tem como saber | impossível saber | "
        "impossível determinar | impossível dizer | impossível afirmar | não pode ser determinado | "
        "informação insuficiente | informações insuficientes | indeterminado | incerto | não está claro | "
        "difícil dizer | difícil saber | não é possível concluir | não sei dizer"
    ),
    beliefs=phrases(
        "muita gente | muitas pessoas | muitos acham | muitos acreditam | muitos pensam | algumas pessoas | "
        "há quem pense | há quem diga | há quem ache | a maioria das pessoas | as pessoas acham | antigamente | "
        "no passado | outrora | costuma-se pensar | acreditava-se | pensava-se | achava-se | alguém poderia pensar | "
        "alguém poderia achar | alguém pode pensar | poderia-se pensar | pode-se pensar | poder-se-ia pensar | "
        "é comum pensar | é comum achar"
    ),
    clocks=phrases(
        "+ H e M | + H horas e M | - M para as H | - M para a H | - M para H | - H menos M | - H horas menos M | "
        "- M minutos para as H | 0 H horas"
    ),
    hour_parts=phrases("quarto:15 | um quarto:15 | meia:30"),
    shares=phrases(
        "metade/a metade/um meio/meio:1/2 | um terço/terço/terços:1/3 | um quarto/quarto/quartos:1/4 | "
        "um quinto/quinto/quintos:1/5 | um sexto/sextos:1/6 | um oitavo/oitavos:1/8 | um décimo/décimos:1/10"
    ),
    joiners=phrases("ou | e | quanto | como | bem como | e também | nem"),
    alternatives=phrases("ou"),
    articles=phrases("o | a | os | as | um | uma | uns | umas"),
    words=phrases("A | E | O | É | À"),
    endings=phrases("s | es"),
    inflections=phrases(
        "ando | endo | indo | ado | ido | ada | ida | aram | eram | iram | ava | avam | idade | eza | amento | "
        "ação | inha | inho"
    ),
    infinitives=phrases("ar | er | ir"),
    inflecting=True,
    numbers=phrases(
        "zero | um/uma | dois/duas/dupla | três/trio | quatro | cinco | seis | sete | oito | nove | dez | onze | "
        "doze | treze | catorze/quatorze | quinze | dezesseis | dezessete | dezoito | dezenove | vinte"
    ),
    nothing=phrases("nenhum | nenhuma | nada | ninguém | nenhum deles"),
    tens=phrases("vinte | trinta | quarenta | cinquenta | sessenta | setenta | oitenta | noventa"),
    hundreds=phrases("cem:100 | cento:100 | duzentos:200 | trezentos:300 | quinhentos:500 | mil:1000"),
    number_joiners=phrases("e"),
    decimal_comma=True,
    ordinals=phrases("primeir+a/o/as/os | segund+a/o/as/os | terceir+a/o/as/os | quart+a/o/as/os | quint+a/o/as/os"),
    last=phrases("últim+a/o | penúltim+a/o"),
)
