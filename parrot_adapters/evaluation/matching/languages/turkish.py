"""Turkish, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["TURKISH"]

TURKISH = Language(
    scripts=phrases("LATIN"),
    answer=phrases(
        "diyebilirim | düşünüyorum ki | kanaatimce | bana göre | olarak değiştiriyorum | olarak düzeltiyorum | "
        "işaretlerim | işaretliyorum | seçerim | tahminim | seçtim | seçim | çözüm | karar | doğru harf | "
        "en uygun seçenek | en iyi seçenek | en uygunu | oyum | tercih ederim | kararım | seçiyorum | cevabımız | "
        "cevap | cevabı | cevabım | yanıt | yanıtı | yanıtım | doğru seçenek | doğru şık | doğrusu | doğru olan | "
        "tercihim | seçimim | bence"
    ),
    option=phrases(
        "seçenek | seçeneği | seçeneğidir | seçeneğini | seçeneğinde | seçeneğinin | seçeneğine | şık | şıkkı | "
        "şıkkıdır | şıkkını | şıkkında | şıkkının | şıkkına | harf | harfi | harfidir | şıkları | şıklar | "
        "seçenekleri | seçenekler | şıkkın | şıklarını | seçeneklerini | cevabı"
    ),
    fillers=phrases(
        "da | de | yi | yı | yu | yü | i | ı | u | ü | dir | dır | tir | tır | ye | ya | e | a | nin | nın | açıkça | "
        "elbette | tabii | muhtemelen | sanırım | galiba | şüphesiz | net | net bir şekilde | sonuç | nihai | son | "
        "doğru | olan | olarak | seçenek | seçeneği | şık | şıkkı | harfi | harf | bu | sorunun | için | kesinlikle | "
        "büyük | ihtimalle | ise | olmalı | olur | her | ikisi | hepsi | tüm | şıkları | seçenekleri | üçü | üçü de | "
        "tamamı | numaralı | numara | olacak | olacaktır | no"
    ),
    refusals=phrases(
        "tanımlayamam | tanımlayamıyorum | belirleyemem | görüntüleyemiyorum | görsel yok | söyleyemem | "
        "üzgünüm | cevaplayamam | cevap veremem | yanıtlayamam | yanıt veremem | cevaplayamıyorum | "
        "yanıtlayamıyorum | belirleyemiyorum | maalesef | yardımcı olamam | göremiyorum | bilmiyorum"
    ),
    negations=phrases("kimse | hiç kimse | değil | ne | ne de"),
    denials=phrases(
        "eliyorum | elerim | eliyoruz | eleriz | çıkarıyorum | dışlıyorum | ele alınmaz | olduğunu sanmıyorum | "
        "olduğunu düşünmüyorum | olduğunu zannetmiyorum | sanmıyorum | olabilir ama | olabilir ancak | "
        "olabilir fakat | olamayacağı için | denemez | söylenemez | olması mümkün değil | olma ihtimali düşük | "
        "görünmüyor | bulunmuyor | olmadığı için | gibi görünüyor ama | gibi görünüyor fakat | "
        "gibi görünüyor ancak | gibi duruyor ama | sanılıyor ama | gibi görünüyordu ama | olsaydı | olsa da | "
        "olsa bile | gibi görünse de | gibi görünse bile | gibi dursa da | sanılabilir | yerine | değil | "
        "değildir | yanlış | yanlıştır | hatalı | olamaz | uymuyor | uyuşmuyor | eşleşmiyor | yok | yoktur | "
        "elenir | eleniyor | elendi | doğru değil | doğru değildir | olmaz | resimle uyuşmuyor | "
        "görselle uyuşmuyor | resme uymuyor | hatalıdır | geçersiz | mi diye düşündüm | mı diye düşündüm | "
        "mu diye düşündüm | mü diye düşündüm | diye düşündüm | elenmiş | elenmiştir | elendiğine göre | "
        "elenebilir | yanlıştırlar | olmadığına göre | geçerli değil | uygun değil | uygun değildir | uymaz | "
        "uymamaktadır | mantıksız | elenmeli | görünmez | bulunmaz"
    ),
    certainties=phrases("şüphe yok ki | şüphe yok | hiç şüphesiz | kuşku yok | sadece değil"),
    exceptions_behind=phrases(
        "hariç | dışında | dışındaki | haricinde | haricindeki | dışındakiler | dışındakilerin | başka"
    ),
    all_others=phrases(
        "hepsi | bütün | tüm | tümü | her | hiçbiri | diğerleri | diğer | kalan | kalanlar | kimse | hiç kimse"
    ),
    corrections=phrases(
        "hayır, bekle | bekle | dur | dur bir dakika | bir dakika | pardon | düzeltiyorum | düzeltme | yok yok | "
        "fikrimi değiştirdim | daha doğrusu | yanlış söyledim | tekrar bakınca | yeniden bakınca | düzelteyim | "
        "düzeltirim | özür dilerim | pardon, yanlış"
    ),
    affirmations=phrases(
        "seçiyorum | seçerim | işaretliyorum | işaretlerim | tercih ediyorum | tercih ederim | diyorum | derim | "
        "en uygun | en uygunu | en doğrusu | olmalı | olmalıdır | cevaptır | yanıttır | doğru | doğrudur | "
        "doğru cevap | doğru cevaptır | doğru seçenek | doğru seçenektir | uygun | uygundur | doğru yanıttır | "
        "olacak | olacaktır | diyebilirim | olduğunu düşünüyorum | olduğuna inanıyorum | doğrudurlar | daha uygun | "
        "daha doğru | daha uygundur | daha yakın | daha iyi uyuyor"
    ),
    conclusions=phrases(
        "sonuç itibarıyla | özetle | kısacası | demek oluyor ki | buradan | böylece | bu da | anlamına gelir | "
        "o yüzden | o zaman | bundan ötürü | bundan dolayı | bu durumda | buna göre | bu nedenle | dolayısıyla | "
        "sonuç olarak | yani | öyleyse | o halde | demek ki | geriye | aslında | gerçekte | daha doğrusu | "
        "bu yüzden | dolayısı ile | sonuçta"
    ),
    impressions=phrases(
        "ilk cevabım | önce dediğim | daha önce | ilk tahminim | ilk düşüncem | ilk izlenimim | ilk anda | "
        "ilk aklıma | ilk bakışta | başta | önce | ilk başta | ilk önce | sandım"
    ),
    turns=phrases("ama | ancak | fakat | aslında | oysa | lakin"),
    concessions=phrases(
        "her ne kadar | eğer | solunda ise | sağında ise | altında ise | üstünde ise | yanında ise | "
        "arkasında ise | önünde ise | arka planda ise | diğeri ise | diğerinde ise | solda ise | sağda ise | "
        "ortada ise"
    ),
    concessions_behind=phrases(
        "olsa da | olsa bile | olmasına rağmen | olmasına karşın | ise de | görünse de | görünse bile | "
        "dursa da | olmakla birlikte"
    ),
    hedges=phrases("belki | belki de | olabilir de"),
    results=phrases(
        "toplamda | sonuç | hepsi birlikte | yani toplam | toplam | toplamı | sayısı | eşittir | fark | farkı | "
        "aradaki fark"
    ),
    totals=phrases("kalır | kalıyor | eder | ediyor | yapar | yapıyor | bulunur | etmektedir"),
    only=phrases("sadece | yalnızca | yalnız"),
    single=phrases("tek"),
    yes=phrases("evet | doğru | ✓ | ✔ | ✅ | elbette | tabii | kesinlikle | aynen | tabii ki | var | vardır"),
    no=phrases(
        "hayır | yanlış | değil | ✗ | ✘ | ❌ | × | yok | yoktur | hayır efendim | kesinlikle hayır | bulunmuyor | yo | "
        "hiç de değil"
    ),
    both=phrases("ikisi de | ikisi | her ikisi | her iki | ikisi birden | hem"),
    neither=phrases(
        "ikisi de yanlış | her ikisi de yanlış | hiçbiri | hiçbir | hiç kimse | hiç biri | ikisi de değil | ne"
    ),
    every=phrases("yukarıdakilerin hepsi | hepsi | tümü | tamamı | üçü de | dördü de | hepsi aynı"),
    absences=phrases(
        "yok | yoktur | bulunmuyor | görünmüyor | görülmüyor | bulunmamaktadır | görünmemektedir | mevcut değil | "
        "göremiyorum | yer almıyor"
    ),
    openings=phrases(
        "bu | bu bir | bunlar | resimde | görselde | fotoğrafta | resimdeki | görseldeki | burada | o bir"
    ),
    relations=phrases("gibi"),
    places=phrases(
        "üzerinde | üstünde | yanında | altında | içinde | arkasında | önünde | üzerindeki | üstündeki | "
        "yanındaki | altındaki | içindeki | arkasındaki | önündeki | ile | gibi | kadar"
    ),
    negated=phrases("miyor | muyor | mamakta | memekte | maz | mez | madi | medi | mamis | memis | mayan | meyen"),
    synonyms=phrases(
        "üstünde/üzerinde | altında/aşağısında | yanında/kenarında/bitişiğinde | arkasında/gerisinde | "
        "içinde/içerisinde | önünde/karşısında | koltuk/kanepe/divan | mutlu/sevinçli/neşeli/mutluluk/sevinç | "
        "üzgün/mutsuz/kederli/üzüntü/hüzünlü | kızgın/öfkeli/sinirli/öfke/kızgınlık | "
        "korkmuş/korku/ürkmüş/korkuyor | şaşkın/şaşırmış/hayret/şaşkınlık | yorgun/bitkin | siyah/kara | "
        "kahverengi/kahve rengi | mor/eflatun | araba/otomobil | otobüs/belediye otobüsü | uçak/tayyare | "
        "köpek/köpek yavrusu | kedi/pisi/kedicik | at/beygir | erkek çocuk/oğlan | kız çocuk/kız | adam/erkek | "
        "kadın/bayan/hanım | doktor/hekim | öğretmen/hoca | polis/polis memuru | telefon/cep telefonu | "
        "bilgisayar/laptop | gözlük/güneş gözlüğü | sonbahar/güz | ilkbahar/bahar | yağmurlu/yağışlı | "
        "karlı/kar yağışlı | okumak/kitap okuyor/okuyor | koşmak/koşuyor | yüzmek/yüzüyor | uyumak/uyuyor | "
        "yemek yapmak/yemek pişiriyor/yemek pişirmek/yemek hazırlıyor | artar/yükselir/çoğalır | azalır/düşer | "
        "uyumak/uyuyor/uyuyakalmış/uykuda | ahşap/tahta/odun | cam/camdan"
    ),
    conditions=phrases(
        "eğer | ise | soruluyorsa | sorulursa | kastediliyorsa | kastedilen | bakılırsa | bakarsak | bakarsanız | "
        "isteniyorsa | söz konusuysa"
    ),
    dependences=phrases("bağlı | değişir | göre değişir | arasında kararsızım | arasında karar veremiyorum"),
    sides=phrases("soldaki | sağdaki | sol | sağ | üstteki | alttaki | birincisi | ikincisi | biri | diğeri"),
    additions=phrases("da | de | ayrıca | bir de | bulunuyor | var"),
    undeterminable=phrases(
        "belirlenemez | belirlenemiyor | belirlemek mümkün değil | bilinemez | bilinemiyor | bilmek mümkün değil | "
        "söylenemez | söylemek mümkün değil | söylemek zor | anlaşılmıyor | anlaşılamıyor | anlaşılamaz | "
        "anlamak mümkün değil | kestirilemez | tespit edilemez | tespit edilemiyor | karar verilemez | belirsiz | "
        "belli değil | yetersiz bilgi | bilgi yetersiz | kesin bir şey söylenemez"
    ),
    beliefs=phrases(
        "birçok kişi | birçok insan | pek çok kişi | pek çok insan | çoğu kişi | çoğu insan | çok kişi | çok kimse | "
        "bazı kişiler | bazı insanlar | bazıları | insanlar genellikle | insanlar çoğu zaman | eskiden | geçmişte | "
        "bir zamanlar | vaktiyle | genellikle sanılır | yaygın kanı | halk arasında"
    ),
    clocks=phrases("+ H M geçiyor | + H M geçe | - H M var | - H M kala | 30 H buçuk"),
    hour_parts=phrases("çeyrek:15"),
    hours=phrases(
        "bir/biri/bire | iki/ikiyi/ikiye | üç/üçü/üçe | dört/dördü/dörde | beş/beşi/beşe | altı/altıyı/altıya | "
        "yedi/yediyi/yediye | sekiz/sekizi/sekize | dokuz/dokuzu/dokuza | on/onu/ona | on bir/on biri/on bire | "
        "on iki/on ikiyi/on ikiye"
    ),
    shares=phrases(
        "yarısı/yarım/yarısını/yarısıdır/ikide bir/ikide biri:1/2 | üçte bir/üçte biri/üçte birini/üçte biridir:1/3 | "
        "çeyrek/çeyreği/çeyreğini/çeyreğidir/dörtte bir/dörtte biri/dörtte birini/dörtte biridir:1/4 | "
        "üçte iki/üçte ikisi/üçte ikisini/üçte ikisidir:2/3 | dörtte üç/dörtte üçü/dörtte üçünü/dörtte üçüdür:3/4 | "
        "beşte bir/beşte biri:1/5 | beşte iki/beşte ikisi:2/5 | beşte üç/beşte üçü:3/5 | altıda bir/altıda biri:1/6 | "
        "sekizde bir/sekizde biri:1/8"
    ),
    joiners=phrases("da | mi | mı | mu | mü | veyahut | veya | ya da | ve | yahut | hem | hem de | ile"),
    alternatives=phrases("veya | ya da | yahut | yoksa | mi | mı | mu | mü"),
    articles=phrases("bir"),
    words=phrases("O | E"),
    endings=phrases(
        "dan | den | tan | ten | nın | nin | nun | nün | lar | ler | dandır | dendir | tandır | tendir | dır | "
        "dir | dur | dür | tır | tir | tur | tür | ında | inde | unda | ünde | sında | sinde | ındadır | "
        "indedir | undadır | ündedir"
    ),
    cases=phrases("da | de | ta | te"),
    suffixing=True,
    numbers=phrases(
        "sıfır | bir | iki | üç | dört | beş | altı | yedi | sekiz | dokuz | on | on bir | on iki | on üç | "
        "on dört | on beş | on altı | on yedi | on sekiz | on dokuz | yirmi"
    ),
    nothing=phrases("hiç | hiç yok | hiçbiri | yok | hiç kimse"),
    tens=phrases("yirmi | otuz | kırk | elli | altmış | yetmiş | seksen | doksan"),
    hundreds=phrases("yüz:100 | bin:1000"),
    number_endings=phrases(
        "i | u | si | su | dir | dur | tir | tur | idir | udur | itir | utur | sidir | sudur | situr"
    ),
    decimal_comma=True,
    ordinals=phrases(
        "birinci+/si/sidir/dir/yi/sini | ikinci+/si/sidir/dir/yi/sini | üçüncü+/sü/südür/dür/yü/sünü | "
        "dördüncü+/sü/südür/dür/yü/sünü | beşinci+/si/sidir/dir/yi/sini"
    ),
    last=phrases("sonuncu/sonuncusu/sonuncusudur/son | sondan ikinci/sondan ikincisi"),
)
