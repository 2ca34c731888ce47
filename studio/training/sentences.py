"""Everyday sentences by a small grammar: some words, many millions of sentences, none of them anybody's text."""

import random
import re


def words(text: str) -> tuple[str, ...]:
    """The words of a text, in its order."""
    return tuple(text.split())


GRAMMAR: dict[str, tuple[str, ...]] = {
    "sentence": (
        "{statement}", "{statement}", "{statement}", "{statement}", "{question}", "{question}", "{request}",
        "{aside}", "{greeting} {statement}", "{answer} {statement}", "{statement} {aside}", "{request} {reason}",
        "{statement} {question}",
    ),
    "statement": (
        "{who} {did} {the_thing} {place}.", "{who} {did} {the_thing} {when}.", "{who} {did} {the_thing}.",
        "The {adjective} {thing} {happened} {place}.", "The {thing} {happened} {when}.",
        "{who} {went} {place} {when}.", "{who} {went} {place}, {but} {who_then} {did} {the_thing}.",
        "{opinion} the {thing} was {quality}.", "{opinion} {who_then} {did} {the_thing}.",
        "There were {number} {things} {place}.", "It {weather} {when}.",
        "{when_first}, {who_then} {did} {the_thing}.", "{name} said that the {thing} {happened}.",
        "The {thing} costs {number} dollars, and the {thing} {number}.", "My {relative} {went} {place} {when}.",
        "{who} {will} {do} {the_thing} {when_next}.", "We {will} {do} {the_thing}, if the {thing} is {quality}.",
        "The {work} {did} {the_thing} for my {relative}.",
        "{the_food} was {quality}, {but} {the_food} was {quality}.", "The meeting on {day} begins at {hour}.",
        "The {train} to {town} leaves at {hour} from platform {number}.",
        "I {cannot} {do} {the_thing} without {the_thing}.",
        "{who} never {did} {the_thing}, {but} I {did} it {when}.",
    ),
    "question": (
        "Did {you} {do} {the_thing} {when}?", "Where did {you} {do} {the_thing}?",
        "Who {did} {the_thing} {place}?", "Why is the {thing} so {quality}?",
        "Would you like {the_food}, or {the_food}?", "Is the {thing} {place}?",
        "How many {things} are there {place}?", "What happened to the {adjective} {thing}?",
        "Could you {do} {the_thing}?", "When does the {train} to {town} leave?", "Have you ever been to {town}?",
        "Shall we {do} {the_thing} {when_next}?", "Do you know the {work} from {town}?",
        "What time is it, {hour}?", "Are you sure that {who_then} {did} {the_thing}?",
    ),
    "request": (
        "Please {do} {the_thing}.", "{do_first} {the_thing}, please.", "Don't {do} {the_thing} {when_next}.",
        "Let's {do} {the_thing} {place}.", "{do_first} {the_thing} and {do} {the_thing}.", "Look {place}!",
        "Turn {side} at the {building} and then go straight on.", "Call my {relative} {when_next}.",
        "Tell {name} about the {thing}.", "Give {name} {number} {things}.",
    ),
    "reason": (
        "It is {quality}.", "It {weather}.", "{name} is waiting.", "We are late.",
        "The {building} closes at {hour}.", "My {relative} asked me to.", "Nobody else will.",
        "I promised {name}.",
    ),
    "aside": (
        "{exclamation}", "I am not so sure.", "Thank you, {name}.", "That was {quality}!", "How {quality}!",
        "See you {when_next}.", "Take care.", "I had no idea.", "What a {adjective} {thing}!", "You are right.",
        "Sorry about the {thing}.", "Anyway.", "Never mind.", "Good luck with the {thing}!", "It's {quality}.",
    ),
    "exclamation": (
        "Oh dear!", "Wonderful!", "What a pity!", "Of course!", "Just a moment.", "Really?", "Well done!",
        "Goodness!", "No way!", "Exactly.", "Hooray!", "Ouch!", "That's it!",
    ),
    "greeting": (
        "Good morning, {name}.", "Hello {name}.", "Good evening.", "Hi there.", "Excuse me.", "Welcome to {town}.",
        "Dear {name},", "Hey, {name}!", "Good afternoon.", "Nice to see you, {name}.",
    ),
    "answer": (
        "Yes.", "No.", "Maybe.", "Certainly.", "I think so.", "Not yet.", "Well,", "Oh,", "Actually,", "Right.",
        "To be honest,", "Between you and me,",
    ),
    "who": (
        "I", "We", "They", "He", "She", "You", "{name}", "{name}", "My {relative}", "The {work}", "Nobody",
        "Everyone", "Someone", "{name} and {name}", "Our {relative}", "That {adjective} {work}",
    ),
    "who_then": (
        "I", "we", "they", "he", "she", "you", "{name}", "my {relative}", "the {work}", "nobody", "everyone",
    ),
    "you": ("you", "they", "he", "she", "{name}", "your {relative}", "the {work}"),
    "name": words(
        "Alma Bruno Clara Dorian Edda Farid Greta Hugo Anna Ben Charlotte Daniel Emma Frank Grace Henry Iris Jack "
        "Kate Leo Maria Noah Olivia Peter Quentin Rose Sam Thomas Ursula Victor Wendy Xavier Yvonne Zoe George "
        "Judith Oscar Philip Ruth Sheila Vaughan Joyce Hazel Keith Theo Beth"
    ),
    "relative": words(
        "mother father sister brother aunt uncle cousin daughter son grandmother grandfather nephew niece "
        "neighbour friend colleague husband wife teacher boss partner flatmate"
    ),
    "work": words(
        "doctor baker driver nurse farmer painter singer writer judge lawyer plumber gardener tailor sailor pilot "
        "waiter cook guard captain thief mayor dancer student engineer librarian chemist shepherd watchmaker "
        "beekeeper"
    ),
    "the_thing": (
        "the {thing}", "the {thing}", "the {adjective} {thing}", "a {soft_adjective} {thing}", "{number} {things}",
        "my {thing}", "your {thing}", "the {things}", "{name}'s {thing}", "the {thing} and the {thing}",
        "the {thing} {place}", "this {thing}", "that {thing}", "some {things}",
    ),
    "thing": words(
        "letter kettle bridge coat lamp window garden river boat basket ticket violin camera clock mirror hammer "
        "bottle ladder blanket pillow map candle picture suitcase bicycle umbrella newspaper telephone table "
        "chair sofa shelf drawer key lock door roof fence gate wheel engine battery rope bucket shovel brush "
        "pencil notebook envelope parcel stamp photograph guitar piano trumpet drum jacket jumper shirt shoe "
        "glove scarf hat belt ring necklace purse wallet coin penny bank cheque bill receipt menu recipe cup "
        "plate bowl fork spoon knife pan oven stove fridge cupboard sink tap bath towel soap sponge carpet "
        "curtain vase flower tree branch leaf seed root bush hedge meadow field path road corner square tower "
        "castle harbour island beach cave valley mountain hill forest storm cloud shadow light fire smoke stone "
        "brick board nail screw wire cable switch button screen keyboard message question answer story song poem "
        "chapter page word sentence number price prize plan idea dream secret mistake joke habit journey holiday "
        "party wedding birthday concert film play game match race lesson exam horse cow sheep goat pig dog cat "
        "mouse rabbit fox bear wolf bird duck goose chicken eagle owl fish whale butterfly spider snake frog "
        "tortoise treasure puzzle toy doll kite ball bat net judge's vision measure"
    ),
    "things": words(
        "letters bridges lamps windows gardens boats baskets tickets cameras clocks bottles ladders blankets maps "
        "candles pictures suitcases bicycles umbrellas newspapers chairs keys doors wheels engines buckets "
        "brushes pencils notebooks parcels stamps jackets shirts shoes gloves scarves hats rings coins bills cups "
        "plates bowls forks spoons knives towels flowers trees branches leaves seeds roads towers islands beaches "
        "hills clouds stones messages questions answers stories songs pages words plans ideas dreams mistakes "
        "horses cows sheep dogs cats mice rabbits foxes birds ducks geese spiders frogs toys kites boxes glasses "
        "peaches churches judges"
    ),
    "adjective": words(
        "old new big small red green blue yellow black white heavy light empty full broken wooden golden silver "
        "strange beautiful ugly clean dirty dry wet warm cold quiet loud cheap expensive sharp soft hard smooth "
        "rough round square thin thick young ancient famous secret hidden lost gentle clever foolish brave lazy "
        "careful proud shy friendly angry hungry thirsty sleepy busy lonely curious purple orange huge tiny "
        "narrow wide deep shallow bright dark"
    ),
    "soft_adjective": words(
        "new big small red blue heavy broken strange cheap sharp soft huge tiny bright dark thin"
    ),
    "quality": words(
        "good bad better worse fine lovely terrible wonderful perfect awful boring exciting easy difficult "
        "dangerous safe cheap expensive late early ready closed open strange funny sad true false possible "
        "impossible important useless delicious fresh sour sweet bitter salty crowded empty cold warm hot noisy "
        "quiet too_long too_short ridiculous surprising unusual usual generous serious nervous obvious rather_old "
        "quite_new very_small much_too_big"
    ),
    "did": words(
        "found lost bought sold painted repaired broke opened closed carried dropped washed hid saw heard forgot "
        "remembered described wanted needed loved hated borrowed stole returned moved lifted pushed pulled "
        "cleaned measured drew watched followed noticed mentioned offered sent received wrapped chose checked "
        "changed finished started ordered cancelled took brought kept left used made built cut burned threw "
        "caught fetched counted weighed photographed enjoyed imagined examined showed_us looked_for asked_about "
        "talked_about paid_for waited_for thought_about"
    ),
    "do": words(
        "find lose buy sell paint repair break open close carry drop wash hide see hear forget remember describe "
        "want need borrow steal return move lift push pull clean measure draw watch follow notice mention offer "
        "send receive wrap choose check change finish start order cancel take bring keep leave use make build cut "
        "burn throw catch fetch count weigh photograph enjoy imagine examine look_for ask_about talk_about "
        "pay_for wait_for think_about"
    ),
    "do_first": words(
        "Find Buy Sell Paint Repair Open Close Carry Wash Hide Remember Describe Return Move Lift Push Pull Clean "
        "Measure Draw Watch Follow Offer Send Wrap Choose Check Change Finish Start Order Take Bring Keep Leave "
        "Use Make Build Throw Catch Fetch Count Weigh Photograph Examine Look_for Ask_about Pay_for Wait_for "
        "Think_about"
    ),
    "happened": words(
        "fell broke disappeared vanished arrived caught_fire rose sank stopped shook cracked turned_up "
        "went_missing looked_different smelled_strange was_stolen was_sold was_found was_empty was_closed is_gone "
        "had_changed made_a_noise came_back_again froze melted exploded shone moved grew"
    ),
    "went": words(
        "went walked ran drove cycled travelled sailed flew hurried wandered came_back lived slept worked sang "
        "sat stood waited danced played cried laughed stayed got_lost fell_asleep had_lunch studied arrived "
        "met_us"
    ),
    "will": (
        "will", "must", "should", "might", "would", "can", "could", "ought to", "want to", "have to",
        "are going to",
    ),
    "cannot": ("cannot", "could not", "will not", "would never", "didn't", "shouldn't", "won't", "couldn't"),
    "but": ("but", "and", "so", "because", "although", "until", "before", "after", "while", "and then"),
    "opinion": (
        "I think", "I believe", "We heard that", "Everybody knows that", "Perhaps", "It seems that", "I hope",
        "I was afraid that", "{name} told me that", "My {relative} thinks", "Nobody told me that", "I suppose",
        "They say", "You know,", "I wish that", "Did you hear that", "The {work} explained that",
    ),
    "weather": (
        "rained", "snowed", "was foggy", "was raining", "got dark", "was windy", "became warmer",
        "rained all night", "is getting cold", "was a sunny day", "thundered", "will freeze", "hailed",
        "was very hot",
    ),
    "place": (
        "in the {building}", "behind the {building}", "near the {building}", "at the {building}",
        "under the {thing}", "on the {thing}", "next to the {thing}", "in {town}", "above the {building}",
        "across the street", "at home", "between the {thing} and the {thing}", "in the kitchen", "outside",
        "upstairs", "over there", "around the {thing}", "through the {building}", "beside the {adjective} {thing}",
        "on the other side of the {thing}",
    ),
    "building": words(
        "church house school station library museum hospital hotel bakery shop market factory office theatre "
        "cinema bank barn stable kitchen garage cellar attic bathroom bedroom hall lighthouse mill palace prison "
        "restaurant pharmacy airport post_office town_hall village park zoo swimming_pool playground"
    ),
    "town": words(
        "London Paris Berlin Rome Madrid Vienna Dublin Edinburgh Boston Chicago Denver Seattle Oxford Cambridge "
        "Lisbon Athens Cairo Tokyo Oslo Stockholm Helsinki Prague Warsaw Geneva Brussels Toronto Sydney Bristol "
        "Glasgow York"
    ),
    "train": ("train", "last train", "first train", "bus", "night bus", "ferry", "boat", "plane", "tram", "coach"),
    "when": (
        "yesterday", "last night", "this morning", "on {day}", "in {month}", "{number} years ago", "at {hour}",
        "again", "last {month}", "before breakfast", "after lunch", "all day long", "twice", "too late",
        "just now", "for hours",
    ),
    "when_first": (
        "Yesterday", "Last night", "This morning", "On {day}", "In {month}", "{number_first} weeks ago",
        "At {hour}", "Suddenly", "Usually", "In the evening", "A long time ago", "After the {thing}",
    ),
    "when_next": (
        "tomorrow", "tonight", "next {day}", "on {day}", "in {month}", "at {hour}", "soon", "in {number} minutes",
        "after work", "later", "now", "next year", "this afternoon", "every {day}",
    ),
    "day": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": words(
        "January February March April May June July August September October November December"
    ),
    "hour": (
        "{small}", "half past {small}", "quarter to {small}", "{small} thirty", "{small} fifteen", "noon",
        "midnight", "{small} o'clock", "ten past {small}",
    ),
    "small": words("one two three four five six seven eight nine ten eleven twelve"),
    "number": (
        "{small}", "{small}", "{tens}", "{tens} {digit}", "{digit} hundred", "{digit} thousand", "a hundred",
        "a few",
    ),
    "number_first": ("Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "A few"),
    "digit": words("two three four five six seven eight nine"),
    "tens": words(
        "twenty thirty forty fifty sixty seventy eighty ninety thirteen fourteen fifteen sixteen nineteen"
    ),
    "side": ("left", "right"),
    "the_food": tuple(
        f"the {food}"
        for food in words(
            "bread butter cheese soup rice pasta salad cake pie coffee tea milk juice water chocolate honey sugar jam "
            "fish chicken beef apple orange banana cherry_tart lemonade onion_soup porridge sandwich omelette sausage "
            "potato tomato cucumber mushroom garlic ginger vegetable_stew fruit yoghurt ice_cream pudding biscuit"
        )
    ),
}  # fmt: skip

_SLOT = re.compile(r"\{(\w+)\}")
_START = re.compile(r"(?:^|[.!?] )[a-z]")


def sentence(chance: random.Random, rule: str = "sentence") -> str:
    """One sentence or two, 1 to about 30 words, drawn from the grammar.

    Args:
        chance: Where the choices come from: equal states give equal sentences.
        rule: The rule of `GRAMMAR` to begin with.
    """
    text = chance.choice(GRAMMAR[rule])
    while slot := _SLOT.search(text):
        text = text[: slot.start()] + chance.choice(GRAMMAR[slot[1]]) + text[slot.end() :]
    return _START.sub(lambda found: found[0].upper(), text.replace("_", " "))
