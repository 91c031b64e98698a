"""Classes of nouns, which decide over the attributes that a thing can plausibly have: a dog is not wooden."""

from functools import lru_cache

from fgdet.text import english

#: By class, its nouns in the singular; ``_`` stands for a space. A noun of none of them is of :data:`OTHER`.
_TABLE = {
    'person': """person man woman boy girl child kid baby toddler lady gentleman guy player skier snowboarder surfer
        skateboarder rider cyclist biker pedestrian officer policeman firefighter soldier chef cook waiter student
        teacher worker driver passenger spectator tourist bride groom couple adult teenager teen human batter catcher
        umpire swimmer runner dancer musician farmer fisherman family crowd audience tennis_player
        baseball_player soccer_player police_officer""",
    'animal': """dog cat horse cow sheep goat pig elephant bear zebra giraffe bird duck goose chicken rooster owl
        eagle parrot pigeon seagull swan penguin fish shark whale dolphin seal lion tiger leopard cheetah wolf fox deer
        moose rabbit squirrel mouse rat hamster monkey gorilla camel donkey bull calf lamb puppy kitten pony foal
        turtle frog snake lizard crab bee butterfly insect spider animal pet herd flock polar_bear brown_bear
        black_bear hawk turkey ox buffalo bison kangaroo panda koala llama beetle dragonfly ladybug snail retriever
        labrador poodle terrier bulldog dachshund""",
    'hair': 'hair beard mustache moustache ponytail braid fur mane wig eyebrow',
    'face': 'face smile eye mouth nose ear hand arm leg foot finger head tail paw wing',
    'vehicle': """car truck bus van taxi cab suv jeep sedan vehicle train tram trolley locomotive motorcycle motorbike
        scooter bicycle bike airplane plane aeroplane jet helicopter boat ship sailboat canoe kayak ferry yacht tractor
        trailer wagon cart carriage ambulance fire_truck fire_engine pickup pickup_truck school_bus minivan limousine
        moped tricycle bulldozer subway_train double-decker_bus police_car sled stroller wheelchair aircraft""",
    'clothes': """shirt t-shirt tshirt tee jacket coat sweater hoodie sweatshirt vest blouse dress skirt suit tie
        necktie pants trousers jeans shorts sock glove mitten scarf hat cap helmet beanie uniform apron robe jersey
        bikini swimsuit wetsuit bathrobe cardigan top tank_top outfit costume gown tuxedo blazer belt shoe boot sneaker
        sandal heel slipper bow_tie headband legging overalls kimono cape clothing collar""",
    'cloth': """towel blanket curtain pillow cushion rug carpet tablecloth sheet bedspread quilt napkin mat cloth flag
        banner ribbon rope strap leash kite tent umbrella""",
    'bag': 'backpack handbag purse bag suitcase luggage wallet briefcase pouch tote',
    'seat': 'chair couch sofa bench bed stool armchair rocking_chair footstool crib recliner loveseat seat',
    'furniture': """table desk shelf bookshelf bookcase cabinet cupboard dresser drawer nightstand wardrobe counter
        countertop dining_table coffee_table picnic_table door headboard picture_frame frame furniture mantle
        fireplace""",
    'container': """cup mug glass bottle bowl plate vase pot pan jar can box basket bucket bin tray pitcher jug kettle
        teapot saucer wine_glass dish platter carton crate barrel container trash_can flower_pot coffee_cup planter
        tub bathtub sink toilet""",
    'building': """building house church tower skyscraper barn castle hut shed wall garage store shop
        restaurant hotel school station temple cathedral cottage cabin apartment roof chimney lighthouse windmill
        porch clock_tower""",
    'structure': 'fence bridge gate arch column pillar staircase floor fountain statue monument dock pier railing ramp',
    'food': """apple banana orange pear grape strawberry lemon lime peach cherry melon watermelon pineapple mango
        tomato carrot broccoli potato onion pepper cucumber lettuce corn mushroom bean pizza sandwich hot_dog burger
        hamburger cake donut doughnut cookie bread bun bagel muffin cupcake pie pancake waffle croissant salad soup
        pasta noodle rice sushi meat steak chicken_wing sausage bacon egg cheese fruit vegetable food sauce dessert
        ice_cream chocolate candy pastry toast french_fry meal""",
    'drink': 'coffee tea milk juice wine beer water soda drink cocktail smoothie',
    'plant': """tree bush shrub plant grass leaf hedge cactus fern palm palm_tree vine potted_plant pine
        christmas_tree foliage houseplant""",
    'flower': 'flower rose tulip daisy sunflower lily orchid bouquet petal carnation blossom',
    'sky': 'sky cloud sunset',
    'water_body': 'ocean sea lake river pond pool stream',
    'ground': """sidewalk pavement patio ground hill mountain rock sand beach dirt road street path trail stone cliff
        boulder field meadow forest lawn""",
    'device': """laptop computer keyboard mouse_pad phone cell_phone cellphone smartphone tablet television tv monitor
        screen remote remote_control camera microwave oven stove refrigerator fridge freezer toaster blender clock lamp
        radio speaker printer hair_drier hair_dryer watch headphone microphone dishwasher controller desktop fan heater
        parking_meter traffic_light fire_hydrant hydrant mailbox stop_sign sign street_sign street_light lamppost pole
        streetlight video_game_controller router washer""",
    'tool': """knife fork spoon scissors tooth_brush toothbrush pen pencil brush broom hammer shovel ladder axe rake
        chopstick spatula comb razor whisk saw wrench screwdriver needle baseball_bat tennis_racket racket racquet
        ski snowboard skateboard surfboard paddle oar hockey_stick golf_club ski_pole baseball_glove guitar violin
        drum piano book magazine newspaper notebook card letter painting picture poster mirror window candle key
        sunglasses necklace bracelet ring earring coin button wheel tire""",
    'toy': """toy teddy_bear teddy doll ball frisbee balloon stuffed_animal puzzle block robot tennis_ball soccer_ball
        baseball basketball football sports_ball volleyball beach_ball rubber_duck golf_ball""",
}  # fmt: skip
OTHER = 'other'
_CLASSES = {noun.replace('_', ' '): name for name, nouns in _TABLE.items() for noun in nouns.split()}
_PLURALS = {
    'person': 'people', 'man': 'men', 'woman': 'women', 'child': 'children', 'foot': 'feet', 'tooth': 'teeth',
    'goose': 'geese', 'mouse': 'mice', 'knife': 'knives', 'leaf': 'leaves', 'shelf': 'shelves', 'loaf': 'loaves',
    'wolf': 'wolves', 'calf': 'calves', 'scarf': 'scarves', 'ox': 'oxen', 'fisherman': 'fishermen',
    'policeman': 'policemen', 'gentleman': 'gentlemen', 'tomato': 'tomatoes', 'potato': 'potatoes',
    'mango': 'mangoes', 'bookshelf': 'bookshelves', 'bus': 'buses', 'bike': 'bikes', 'movie': 'movies',
    'cookie': 'cookies', 'tie': 'ties', 'necktie': 'neckties', 'bow tie': 'bow ties', 'pie': 'pies',
    'beanie': 'beanies', 'hoodie': 'hoodies', 'shoe': 'shoes', 'canoe': 'canoes', 'axe': 'axes',
    'eye': 'eyes', 'sky': 'skies', 'tv': 'tvs', 'ski': 'skis',
    'glass': 'glasses', 'wine glass': 'wine glasses', 'mustache': 'mustaches',
    'moustache': 'moustaches', 'smoothie': 'smoothies',
}  # fmt: skip
_SINGULARS = {many: one for one, many in _PLURALS.items()}
#: The same in both numbers, or of no number: their plural is not written.
_UNCOUNTED_WORDS = """overalls sheep deer fish aircraft scissors pants trousers jeans shorts sunglasses people hair fur
    luggage furniture clothing water milk coffee tea juice wine beer food rice bread grass broccoli corn bacon meat
    lettuce sand dirt snow crowd audience family bison moose foliage pasta cheese toast chocolate candy sushi stairs
    tongs series"""
UNCOUNTED = frozenset(_UNCOUNTED_WORDS.split())


@lru_cache(maxsize=65536)
def singular(noun: str) -> str:
    """Return the singular of an English noun of one or more words; the noun itself where it is one."""
    before, space, last = noun.rpartition(' ')
    if before:
        return before + space + singular(last)
    if noun in _SINGULARS:
        return _SINGULARS[noun]
    if noun in UNCOUNTED or noun in _CLASSES or len(noun) < 4 or not noun.endswith('s') or noun.endswith(('ss', 'us')):
        return noun
    if noun.endswith('ies'):
        return noun[:-3] + 'y'
    if noun.endswith(('sses', 'shes', 'ches', 'xes', 'zes')) or (noun.endswith('uses') and noun[-5:-4] != 'o'):
        return noun[:-2]
    return noun[:-1]


def plural(noun: str) -> str:
    """Return the plural of an English noun in the singular; the noun itself where it has none."""
    before, space, last = noun.rpartition(' ')
    if noun in _PLURALS:
        return _PLURALS[noun]
    if before:
        return before + space + plural(last)
    if noun in UNCOUNTED:
        return noun
    if noun.endswith('man') and noun != 'human':
        return noun[:-3] + 'men'
    return english.plural(noun)


def noun_class(words: list[str]) -> str:
    """Return the class of what a chain of words ends in, such as ``['red', 'tennis', 'balls']``: ``toy``.

    The last two words are looked for first, then the last one; :data:`OTHER` where neither is known.
    """
    for length in (2, 1):
        name = _CLASSES.get(singular(' '.join(words[-length:]).lower())) if len(words) >= length else None
        if name:
            return name
    return OTHER


def is_countable(noun: str) -> bool:
    """Tell whether a number of things can stand before a noun; not so for water, and hardly for the sky or a street."""
    return plural(noun) != noun and _CLASSES.get(noun) not in ('sky', 'water_body', 'ground')


def is_noun(word: str) -> bool:
    """Tell whether a word is in the tables, in the singular or the plural."""
    return singular(word.lower()) in _CLASSES
