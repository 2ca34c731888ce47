"""What is said in a corpus for the language model: from single words to lines of twelve, with a broad vocabulary.

A model that learns from few words learns the words, not the letters. So beside the grammar's sentences there are lists
of everyday words and of words that do not exist but are spelt like English: espeak-ng reads them by rule.
"""

import random
import re
from collections import defaultdict
from functools import cache
from typing import Literal

from studio.training.sentences import GRAMMAR, sentence, words

Length = Literal["phrase", "short line", "line"]
WORDS_OF: dict[Length, tuple[int, int]] = {"phrase": (1, 3), "short line": (3, 6), "line": (6, 12)}
RULES_OF: dict[Length, tuple[str, ...]] = {
    "phrase": (
        "the_thing", "place", "when", "greeting", "answer", "exclamation", "number", "hour", "name", "the_food",
        "aside", "when_next", "reason", "request", "opinion", "weather", "who",
    ),
    "short line": ("statement", "question", "request", "aside", "greeting", "reason", "the_thing", "place"),
    "line": ("sentence", "statement", "question", "request"),
}  # fmt: skip
LISTED_SHARE = 0.3  # of the texts are words without grammar
INVENTED_SHARE = 0.25  # of those words do not exist

EVERYDAY_WORDS = words(
    "able about above accept accident account across act action active actor add address admit adult advice affair "
    "afford afternoon against age agency agree ahead aid aim air alarm album alive allow almost alone along aloud "
    "already also alter always amazing among amount anchor anger angle animal ankle annual another anxious any "
    "anyone apart appeal appear apply approach approve arch area argue arm army arrange arrest article artist ash "
    "ask aside assist assume attach attack attempt attend attention attract author autumn avenue average avoid "
    "awake award aware away axe baby back bacon badge balance balcony bamboo band bare bark base basic bean beard "
    "beast beat beauty become bed bee begin behave behaviour belief bell belong below bench benefit berry beyond "
    "bill bind bishop bite blame blaze bleed blend bless blind block blood bloom blow blunt blush body boil bold "
    "bone bonus border born both bother bottom bounce bowl brain breathe breeze bride brief bring broad brown "
    "bubble budget build bulb bull bundle burden burst bury business busy butcher button buzz cabin calm camp canal "
    "cancel capital carbon card care career cargo carve case cast cause ceiling cell cellar central century chain "
    "chalk chance channel chaos charge charm chase chat cheek cheer chef chest chew chief child children chimney "
    "chin choice church circle circus citizen city civil claim class claw clay clerk cliff climate climb cling "
    "clinic cloth clue coach coal coast code coffee cold collar collect college colour column comb come comfort "
    "comic command comment common company compare complain complete computer concern condition confess confuse "
    "connect consider contain content contest continue control cool copper copy corn correct cottage cotton couch "
    "cough council count country couple courage court cousin cover cradle craft crane crash crawl cream create "
    "credit creek creep crew crime crisis crisp critic crop cross crown cruel crumb crush cry cube culture cure "
    "current curve cushion custom cycle damage damp dance danger dare data date daughter dawn deaf deal dear death "
    "debate debt decade decide declare decline deer defeat defend degree delay deliver demand dentist deny depend "
    "deputy desert deserve design desk despite destroy detail develop device devil diamond diary dictionary diet "
    "differ dig dinner direct dirt discover discuss disease dish distance divide dizzy dock dollar dolphin double "
    "doubt dozen draft dragon drama dread dress drift drill drink drive drown drug dry dull dust duty each eager "
    "ear early earn earth ease east easy echo edge edit educate effect effort egg eight either elbow elder elect "
    "electric elegant element elephant else empire employ enemy energy enjoy enough enter entire entry envy equal "
    "error escape even event ever every exact example except excite excuse exercise exist expect expert explain "
    "express extra eye fable fabric face fact fade fail faint fair faith fame family fancy far farm fashion fast "
    "fat fate father fault favour fear feast feather feature feed feel fellow fence fever few field fierce fight "
    "figure fill final finger firm first fit five flag flame flash flat flavour flesh flight float flood floor "
    "flour flute fold folk follow fool foot force forehead foreign forge form fortune forward foster four frame "
    "freedom freeze frequent friend fright front frost frown fuel full fun fund funeral fur future gain gallery gap "
    "garage gather general ghost giant gift ginger girl give glad glance globe glory glow glue goal god gold govern "
    "grain grand grant grape graph grass grave great greet grief grin grip grocery ground group grow guess guest "
    "guide guilty gulf gym hair half hammer hand handle hang happen happy hard harm harvest haste hay head heal "
    "health heap heart heat heaven heel height hello help hen herb here hero high hint hip hire history hold hole "
    "hollow home honest hood hook hope horn host hour huge human humour hundred hunger hunt hurry hurt ice icon "
    "ideal idle ill image impact import improve inch income indeed index indoor infant inform injure ink inner "
    "insect inside insist instead invite iron itch item ivory jaw jazz jealous jelly jewel job join joint jolly "
    "journal joy juggle juice jump jungle junior jury just justice keen kick kid kidney kind king kingdom kiss "
    "kneel knit knock knot know knowledge label labour lace lack lake lamb land language large laser last late "
    "laugh launch laundry law lawn layer lead league lean leap learn least leather leave lecture leg lemon lend "
    "length less lesson level liberty lid lie life lift like limb limit line link lion lip liquid list listen litre "
    "little live load loaf local logic long loose lord lottery loud lounge love low loyal luck luggage lunch lung "
    "luxury machine mad magic magnet maid mail main major make male manage manner manual many marble march margin "
    "mark market marriage mask mass mast master mate matter maximum may maybe meal mean meat medal medicine medium "
    "meet melody melt member memory mend menace mental mention mercy merry mess metal method middle mild mile "
    "military million mind mineral minor minute miss mist mix mobile model modern modest moment money monitor monk "
    "monkey month mood moon moral more most mother motion motor mouth much mud multiply murder muscle museum music "
    "must mystery myth naked narrow nasty nation native nature near neat neck need needle negative neither nephew "
    "nerve nest network neutral never news next nine noble nobody noise none noon normal north nose note nothing "
    "notion novel nowhere nuclear number oak oath obey object observe obtain ocean odd offence official often oil "
    "okay once onion only opera opinion oppose option oral orbit orchard organ origin other ought ounce outcome "
    "outer output outside over owe own oxygen pace pack paddle page pain pair palm panel panic paper parade parent "
    "park parrot part party pass past paste patch path patient pattern pause pay peace peak pear peasant pebble pen "
    "people pepper perfect perform perfume period permit person phone phrase physics pick piece pill pilot pink "
    "pipe pitch pity place plain planet plant plastic platform please pleasure plenty plot plough plug plus pocket "
    "point poison police polish polite pond pool poor popular port pose position post pot pound pour power praise "
    "pray prefer prepare present press pretend pretty prevent priest prime prince print privacy private problem "
    "process produce profit program progress project proof proper protect proud prove provide public pudding pulse "
    "pump punish pupil pure purpose quantity quarrel queen quick quit quiz quote race radio rage rail rain raise "
    "ramp range rank rapid rare rate raw reach react read real rear reason rebel recall record recover reduce refer "
    "reflect refuse regard region regret reject relax rely remain remove rent repeat reply report rescue research "
    "reserve rest result retire reveal revenge reverse review reward rhythm rice rich ride right riot ripe risk "
    "rival roar robot rock rod role roll roof room root rope rose rough route row royal rub rubber rude rug ruin "
    "rule rumour run rural rush rust sack sad saddle sail saint salad salt same sand satellite sauce save scale "
    "scar scare scene scheme school science scissors score scream search season seat second section secure seem "
    "seize select self senior sense separate series serve set settle seven several severe shade shake shame shape "
    "share shave she sheet shell shelter shift shine ship shock shoot shore short shoulder shout show shower shrimp "
    "shut sick sigh sight sign signal silence silk silly similar simple since single sister six size skate sketch "
    "skill skin skip skirt sky slave sleep sleeve slice slide slim slip slope slow small smart smell smile snack "
    "sneeze social soil soldier solid solve son sore sorrow sort soul sound source south space spare spark speak "
    "special speech speed spell spend spice spill spin spirit spit split spoil sponsor sport spot spray spread "
    "spring spy squeeze staff stage stain stair stare start state statue steady steak steam steel steep steer stem "
    "step stick stiff still stock stomach stop store straight strain stranger straw stream stress stretch strict "
    "strike string strip strong structure struggle student stuff style subject succeed such sudden suffer sugar "
    "suggest suit summer sun supper supply support sure surface surgeon surprise surround suspect swallow swamp "
    "swan swear sweat sweep swim swing sword symbol system tail talent talk tall tank tape target task taste tax "
    "team tear tease teeth tell temper ten tend tense tent term terror test text than theory thick thief thing "
    "think third thought thousand thread threat three throat throne thumb thunder tide tidy tie tiger tight timber "
    "time tip tissue title toast tobacco toe together tomato tone tongue tool tooth top torch total touch tough "
    "tour toward trace track trade tradition traffic trail transfer translate trap travel treat tremble trial tribe "
    "trick trip troop trouble trousers truck trunk trust truth try tube tunnel twelve twenty twice twin twist two "
    "type uncle under uniform union unit universe until upper upset urban urge urgent use usual valley value van "
    "vanish variety various vegetable vehicle veil verb very vessel victim view village virtue virus visit voice "
    "volume vote vowel voyage wage waist wake walk wall wander war warm warn waste water wave wax way weak wealth "
    "weapon wear weather web week weigh welcome west what wheat when where which whip whisper whistle who whole why "
    "wicked wild willing wind wine wing winner winter wipe wire wise wish within witness woman wonder wood wool "
    "world worm worry worth would wrist wrong yard year yell yes yesterday yet yield young youth zebra zero zone"
)


def text_of(chance: random.Random, length: Length) -> str:
    """A text of the length asked for: of the grammar, or words from the lists, always with an end.

    Args:
        chance: Where the choices come from: equal states give equal texts.
        length: How many words, see `WORDS_OF`.
    """
    least, most = WORDS_OF[length]
    if chance.random() < LISTED_SHARE:
        return listed_words(chance, chance.randint(least, most))
    while True:
        text = sentence(chance, chance.choice(RULES_OF[length]))
        if least <= len(text.split()) <= most:
            return _ended(text)


def listed_words(chance: random.Random, count: int) -> str:
    """Words without grammar, some of them invented."""
    known = known_words()
    drawn = [invented_word(chance) if chance.random() < INVENTED_SHARE else chance.choice(known) for _ in range(count)]
    if count > 4 and chance.random() < 0.5:
        drawn[count // 2] += ","
    return _ended(" ".join(drawn))


def invented_word(chance: random.Random) -> str:
    """A word that need not exist: each letter follows the three before it as in the words of the lists."""
    following = _following_letters()
    while True:
        word = ""
        while (letter := chance.choice(following[f"^^^{word}"[-3:]])) != "$":
            word += letter
        if 3 <= len(word) <= 10:
            return word


@cache
def known_words() -> tuple[str, ...]:
    """Every word of the lists and of the grammar, in alphabetical order."""
    grammatical = {
        word
        for alternatives in GRAMMAR.values()
        for text in alternatives
        for word in re.findall(r"[A-Za-z]+(?:'[a-z]+)?", re.sub(r"\{\w+\}", " ", text).replace("_", " "))
    }
    return tuple(sorted(grammatical.union(EVERYDAY_WORDS)))


@cache
def _following_letters() -> dict[str, tuple[str, ...]]:
    """The letters seen after each three; `^` stands before a word, `$` behind it."""
    seen = defaultdict(list)
    for word in known_words():
        if word.isalpha():
            marked = f"^^^{word.lower()}$"
            for index in range(len(marked) - 3):
                seen[marked[index : index + 3]].append(marked[index + 3])
    return {before: tuple(letters) for before, letters in seen.items()}


def _ended(text: str) -> str:
    text = text[0].upper() + text[1:]
    return text.rstrip(",") + ("" if text[-1] in ".?!" else ".")
