"""LVIS v1: 1,203 categories, of which the 337 rare ones are held out of open-vocabulary training.

Names, synonyms and the number of training images of each category are those of LVIS v1.0 (Gupta, Dollar, Girshick,
"LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019; its annotations are CC BY 4.0). A category is
rare with 1 to 10 training images, common with 11 to 100, frequent with more. That rare is novel and
the other 866 are base is OV-LVIS: Gu et al., "Open-vocabulary Object Detection via Vision and Language Knowledge
Distillation", ICLR 2022, section 4.1.
"""


def lvis_prompt_name(name: str) -> str:
    """Return how a category of an LVIS file reads in a prompt: ``'bat_(animal)'`` is ``'bat (animal)'``.

    Underscores become spaces. Parentheses stay: they tell ``fish`` from ``fish (food)``, and four more pairs apart. One
    misspelling of the file is mended (``speaker_(stero_equipment)``, which other tools mend too). A category of a file
    and a name of the vocabulary belong together where this function gives the same for both.
    """
    return ' '.join(name.replace('_', ' ').split()).replace('(stero ', '(stereo ')


def _frequency(images: int) -> str:
    return 'r' if images <= 10 else 'c' if images <= 100 else 'f'


# name|synonym|...:training images, in the order of the category ids 1 to 1203.
_TABLE = """
aerosol_can|spray_can:64 air_conditioner:364 airplane|aeroplane:1911 alarm_clock:149 alcohol|alcoholic_beverage:29
alligator|gator:26 almond:59 ambulance:22 amplifier:12 anklet|ankle_bracelet:28 antenna|aerial|transmitting_aerial:505
apple:1207 applesauce:4 apricot:10 apron:500 aquarium|fish_tank:33
arctic_(type_of_shoe)|galosh|golosh|rubber_(type_of_shoe)|gumshoe:3 armband:44 armchair:561 armoire:8 armor|armour:9
artichoke:33 trash_can|garbage_can|wastebin|dustbin|trash_barrel|trash_bin:1883 ashtray:98 asparagus:70
atomizer|atomiser|spray|sprayer|nebulizer|nebuliser:46 avocado:117 award|accolade:41 awning:1395 ax|axe:7 baboon:1
baby_buggy|baby_carriage|perambulator|pram|stroller:314 basketball_backboard:31
backpack|knapsack|packsack|rucksack|haversack:1905 handbag|purse|pocketbook:1859 suitcase|baggage|luggage:1623
bagel|beigel:47 bagpipe:3 baguet|baguette:3 bait|lure:1 ball:305 ballet_skirt|tutu:6 balloon:210 bamboo:36 banana:1787
Band_Aid:17 bandage:51 bandanna|bandana:138 banjo:3 banner|streamer:1470 barbell:3 barge:2 barrel|cask:186 barrette:76
barrow|garden_cart|lawn_cart|wheelbarrow:26 baseball_base:303 baseball:738 baseball_bat:1799
baseball_cap|jockey_cap|golf_cap:1934 baseball_glove|baseball_mitt:1609 basket|handbasket:1622 basketball:41
bass_horn|sousaphone|tuba:4 bat_(animal):11 bath_mat:270 bath_towel:349 bathrobe:42 bathtub|bathing_tub:823
batter_(food):6 battery:48 beachball:3 bead:42 bean_curd|tofu:24 beanbag:16 beanie|beany:605 bear:646 bed:1765
bedpan:2 bedspread|bedcover|bed_covering|counterpane|spread:125 cow:1420 beef_(food)|boeuf_(food):140 beeper|pager:4
beer_bottle:322 beer_can:60 beetle:2 bell:231 bell_pepper|capsicum:333 belt:1941 belt_buckle:367 bench:1922 beret:18
bib:81 Bible:1 bicycle|bike_(bicycle):1852 visor|vizor:430 billboard:247 binder|ring-binder:94
binoculars|field_glasses|opera_glasses:21 bird:1821 birdfeeder:16 birdbath:12 birdcage:25 birdhouse:41
birthday_cake:244 birthday_card:7 pirate_flag:1 black_sheep:40 blackberry:40 blackboard|chalkboard:104 blanket:1671
blazer|sport_jacket|sport_coat|sports_jacket|sports_coat:49 blender|liquidizer|liquidiser:243 blimp:2
blinker|flasher:242 blouse:271 blueberry:104 gameboard:8 boat|ship_(boat):1758 bob|bobber|bobfloat:1
bobbin|spool|reel:48 bobby_pin|hairgrip:14 boiled_egg|coddled_egg:40 bolo_tie|bolo|bola_tie|bola:1 deadbolt:37
bolt:1510 bonnet:6 book:1903 bookcase:70 booklet|brochure|leaflet|pamphlet:86 bookmark|bookmarker:7
boom_microphone|microphone_boom:5 boot:1406 bottle:1901 bottle_opener:15 bouquet:28 bow_(weapon):6
bow_(decorative_ribbons):494 bow-tie|bowtie:234 bowl:1922 pipe_bowl:1 bowler_hat|bowler|derby_hat|derby|plug_hat:35
bowling_ball:5 box:1828 boxing_glove:8 suspenders:63 bracelet|bangle:1668 brass_plaque:4 brassiere|bra|bandeau:95
bread-bin|breadbox:17 bread:1567 breechcloth|breechclout|loincloth:2 bridal_gown|wedding_gown|wedding_dress:103
briefcase:50 broccoli:1309 broach:6 broom:92 brownie:19 brussels_sprouts:37 bubble_gum:4 bucket|pail:709 horse_buggy:9
bull|horned_cow:82 bulldog:15 bulldozer|dozer:3 bullet_train:61 bulletin_board|notice_board:51 bulletproof_vest:5
bullhorn|megaphone:13 bun|roll:642 bunk_bed:24 buoy:255 burrito:9
bus_(vehicle)|autobus|charabanc|double-decker|motorbus|motorcoach:1808 business_card:31 butter:158 butterfly:80
button:1884 cab_(taxi)|taxi|taxicab:158 cabana:2 cabin_car|caboose:12 cabinet:1659 locker|storage_locker:7 cake:834
calculator:57 calendar:174 calf:95 camcorder:27 camel:22 camera:1391 camera_lens:90
camper_(vehicle)|camping_bus|motor_home:40 can|tin_can:445 can_opener|tin_opener:21 candle|candlestick:1132
candle_holder:177 candy_bar:4 candy_cane:17 walking_cane:84 canister|cannister:55 canoe:30 cantaloup|cantaloupe:25
canteen:2 cap_(headwear):125 bottle_cap|cap_(container_lid):1135 cape:19 cappuccino|coffee_cappuccino:72
car_(automobile)|auto_(automobile)|automobile:1926
railcar_(part_of_a_train)|railway_car_(part_of_a_train)|railroad_car_(part_of_a_train):159 elevator_car:7
car_battery|automobile_battery:1 identity_card:13 card:35 cardigan:18 cargo_ship|cargo_vessel:8 carnation:6
horse_carriage:35 carrot:1222 tote_bag:103 cart:28 carton:63 cash_register|register_(for_cash_transactions):28
casserole:5 cassette:7 cast|plaster_cast|plaster_bandage:14 cat:1918 cauliflower:133
cayenne_(spice)|cayenne_pepper_(spice)|red_pepper_(spice):16 CD_player:27 celery:110
cellular_telephone|cellular_phone|cellphone|mobile_phone|smart_phone:1895
chain_mail|ring_mail|chain_armor|chain_armour|ring_armor|ring_armour:4 chair:1927 chaise_longue|chaise|daybed:8
chalice:1 chandelier:263 chap:10 checkbook|chequebook:2 checkerboard:3 cherry:87 chessboard:9 chicken_(animal):71
chickpea|garbanzo:13
chili_(vegetable)|chili_pepper_(vegetable)|chilli_(vegetable)|chilly_(vegetable)|chile_(vegetable):18 chime|gong:2
chinaware:5 crisp_(potato_chip)|potato_chip:45 poker_chip:1 chocolate_bar:23 chocolate_cake:32 chocolate_milk:4
chocolate_mousse:1 choker|collar|neckband:858 chopping_board|cutting_board|chopping_block:661 chopstick:168
Christmas_tree:210 slide:65 cider|cyder:4 cigar_box:2 cigarette:159 cigarette_case|cigarette_pack:31
cistern|water_tank:811 clarinet:1 clasp:42 cleansing_agent|cleanser|cleaner:27 cleat_(for_securing_rope):2
clementine:5 clip:95 clipboard:32 clippers_(for_plants):1 cloak:1 clock|timepiece|timekeeper:1844 clock_tower:897
clothes_hamper|laundry_basket|clothes_basket:31 clothespin|clothes_peg:23 clutch_bag:1 coaster:202 coat:746
coat_hanger|clothes_hanger|dress_hanger:44 coatrack|hatrack:14 cock|rooster:26 cockroach:1
cocoa_(beverage)|hot_chocolate_(beverage)|drinking_chocolate:2 coconut|cocoanut:25 coffee_maker|coffee_machine:238
coffee_table|cocktail_table:592 coffeepot:26 coil:5 coin:42 colander|cullender:13 coleslaw|slaw:46
coloring_material|colouring_material:1 combination_lock:8 pacifier|teething_ring:34 comic_book:5 compass:1
computer_keyboard|keyboard_(computer):1871 condiment:717 cone|traffic_cone:1010 control|controller:679
convertible_(automobile):3 sofa_bed:4 cooker:1 cookie|cooky|biscuit_(cookie):166 cooking_utensil:2
cooler_(for_food)|ice_chest:266 cork_(bottle_plug)|bottle_cork:101 corkboard:6 corkscrew|bottle_screw:14
edible_corn|corn|maize:133 cornbread:2 cornet|horn|trumpet:38 cornice|valance|valance_board|pelmet:95 cornmeal:1
corset|girdle:12 costume:49 cougar|puma|catamount|mountain_lion|panther:5 coverall:5 cowbell:16
cowboy_hat|ten-gallon_hat:216 crab_(animal):12 crabmeat:1 cracker:54 crape|crepe|French_pancake:5 crate:245
crayon|wax_crayon:12 cream_pitcher:7 crescent_roll|croissant:35 crib|cot:36 crock_pot|earthenware_jar:32 crossbar:1027
crouton:10 crow:12 crowbar|wrecking_bar|pry_bar:1 crown:67 crucifix:71 cruise_ship|cruise_liner:30
police_cruiser|patrol_car|police_car|squad_car:48 crumb:249 crutch:13 cub_(animal):29 cube|square_block:14
cucumber|cuke:236 cufflink:15 cup:1521 trophy_cup:25 cupboard|closet:249 cupcake:139
hair_curler|hair_roller|hair_crimper:2 curling_iron:2 curtain|drapery:1890 cushion:1240 cylinder:1 cymbal:9 dagger:1
dalmatian:3 dartboard:11 date_(fruit):4 deck_chair|beach_chair:236 deer|cervid:44 dental_floss|floss:19 desk:1100
detergent:7 diaper:69 diary|journal:2 die|dice:8 dinghy|dory|rowboat:5 dining_table:227 tux|tuxedo:6 dish:106
dish_antenna:81 dishrag|dishcloth:17 dishtowel|tea_towel:134 dishwasher|dishwashing_machine:312
dishwasher_detergent|dishwashing_detergent|dishwashing_liquid|dishsoap:8 dispenser:271 diving_board:2
Dixie_cup|paper_cup:103 dog:1938 dog_collar:574 doll:120 dollar|dollar_bill|one_dollar_bill:2 dollhouse|doll's_house:2
dolphin:13 domestic_ass|donkey:29 doorknob|doorhandle:1710 doormat|welcome_mat:66 doughnut|donut:1008 dove:1
dragonfly:3 drawer:1942 underdrawers|boxers|boxershorts:19 dress|frock:1488
dress_hat|high_hat|opera_hat|silk_hat|top_hat:46 dress_suit:106 dresser:115 drill:19 drone:2 dropper|eye_dropper:1
drum_(musical_instrument):28 drumstick:9 duck:192 duckling:12 duct_tape:21 duffel_bag|duffle_bag|duffel|duffle:247
dumbbell:6 dumpster:64 dustpan:7 eagle:40 earphone|earpiece|headphone:542 earplug:2 earring:1898 easel:36 eclair:4
eel:1 egg|eggs:191 egg_roll|spring_roll:6 egg_yolk|yolk_(egg):41 eggbeater|eggwhisk:39 eggplant|aubergine:46
electric_chair:1 refrigerator:1451 elephant:1878 elk|moose:11 envelope:82 eraser:18 escargot:1 eyepatch:7 falcon:3
fan:575 faucet|spigot|tap:1907 fedora:8 ferret:4 Ferris_wheel:32 ferry|ferryboat:11 fig_(fruit):4
fighter_jet|fighter_aircraft|attack_aircraft:54 figurine:202 file_cabinet|filing_cabinet:32 file_(tool):3
fire_alarm|smoke_alarm:130 fire_engine|fire_truck:119 fire_extinguisher|extinguisher:141 fire_hose:29 fireplace:525
fireplug|fire_hydrant|hydrant:1323 first-aid_kit:2 fish:113 fish_(food):16 fishbowl|goldfish_bowl:7
fishing_rod|fishing_pole:35 flag:1908 flagpole|flagstaff:353 flamingo:18 flannel:14 flap:77 flash|flashbulb:8
flashlight|torch:37 fleece:1 flip-flop_(sandal):346 flipper_(footwear)|fin_(footwear):19
flower_arrangement|floral_arrangement:1779 flute_glass|champagne_flute:23 foal:25 folding_chair:67 food_processor:19
football_(American):28 football_helmet:4 footstool|footrest:27 fork:1861 forklift:11 freight_car:13 French_toast:13
freshener|air_freshener:32 frisbee:1767 frog|toad|toad_frog:42 fruit_juice:17 frying_pan|frypan|skillet:128 fudge:1
funnel:9 futon:10 gag|muzzle:4 garbage:9 garbage_truck:18 garden_hose:41 gargle|mouthwash:28 gargoyle:3 garlic|ail:65
gasmask|respirator|gas_helmet:9 gazelle:23 gelatin|jelly:24 gemstone:1 generator:2 giant_panda|panda|panda_bear:59
gift_wrap:48 ginger|gingerroot:17 giraffe:1877 cincture|sash|waistband|waistcloth:18
glass_(drink_container)|drinking_glass:1920 globe:50 glove:1890 goat:99 goggles:1530 goldfish:3 golf_club|golf-club:11
golfcart:19 gondola_(boat):3 goose:63 gorilla:5 gourd:6 grape:233 grater:54 gravestone|headstone|tombstone:36
gravy_boat|gravy_holder:10 green_bean:124 green_onion|spring_onion|scallion:101 griddle:3
grill|grille|grillwork|radiator_grille:363 grits|hominy_grits:3 grizzly|grizzly_bear:30 grocery_bag:18 guitar:199
gull|seagull:97 gun:32 hairbrush:121 hairnet:16 hairpin:12 halter_top:2 ham|jambon|gammon:214
hamburger|beefburger|burger:48 hammer:26 hammock:13 hamper:4 hamster:11 hair_dryer:123 hand_glass|hand_mirror:7
hand_towel|face_towel:200 handcart|pushcart|hand_truck:91 handcuff:9 handkerchief:72 handle|grip|handgrip:1886
handsaw|carpenter's_saw:4 hardback_book|hardcover_book:1
harmonium|organ_(musical_instrument)|reed_organ_(musical_instrument):1 hat:1932 hatbox:4 veil:56 headband:854
headboard:755 headlight|headlamp:1843 headscarf:96 headset:7 headstall_(for_horses)|headpiece_(for_horses):74 heart:66
heater|warmer:57 helicopter:44 helmet:1905 heron:4 highchair|feeding_chair:90 hinge:1635 hippopotamus:8 hockey_stick:5
hog|pig:50 home_plate_(baseball)|home_base_(baseball):545 honey:20 fume_hood|exhaust_hood:193 hook:285
hookah|narghile|nargileh|sheesha|shisha|water_pipe:3 hornet:1 horse:1904 hose|hosepipe:294 hot-air_balloon:3
hotplate:5 hot_sauce:24 hourglass:2 houseboat:2 hummingbird:16 hummus|humus|hommos|hoummos|humous:8 polar_bear:154
icecream:66 popsicle:1 ice_maker:24 ice_pack|ice_bag:1 ice_skate:4 igniter|ignitor|lighter:75 inhaler|inhalator:6
iPod:126 iron_(for_clothing)|smoothing_iron_(for_clothing):24 ironing_board:22 jacket:1872 jam:16 jar:423
jean|blue_jean|denim:1927 jeep|landrover:38 jelly_bean|jelly_egg:3 jersey|T-shirt|tee_shirt:1945
jet_plane|jet-propelled_plane:35 jewel|gem|precious_stone:1 jewelry|jewellery:13 joystick:9 jumpsuit:14 kayak:37 keg:3
kennel|doghouse:4 kettle|boiler:100 key:195 keycard:1 kilt:12 kimono:24 kitchen_sink:489 kitchen_table:10 kite:1689
kitten|kitty:42 kiwi_fruit:81 knee_pad:894 knife:1868 knitting_needle:7 knob:1567 knocker_(on_a_door)|doorknocker:10
koala|koala_bear:8 lab_coat|laboratory_coat:7 ladder:629 ladle:89 ladybug|ladybeetle|ladybird_beetle:15
lamb_(animal):134 lamb-chop|lambchop:4 lamp:1802 lamppost:595 lampshade:1210 lantern:48 lanyard|laniard:418
laptop_computer|notebook_computer:1846 lasagna|lasagne:5 latch:221 lawn_mower:10 leather:7
legging_(clothing)|leging_(clothing)|leg_covering:76 Lego|Lego_set:22 legume:10 lemon:341 lemonade:1 lettuce:705
license_plate|numberplate:1900 life_buoy|lifesaver|life_belt|life_ring:188 life_jacket|life_vest:227 lightbulb:861
lightning_rod|lightning_conductor:6 lime:115 limousine:5 lion:43 lip_balm:14
liquor|spirits|hard_liquor|liqueur|cordial:6 lizard:15 log:1167 lollipop:15 speaker_(stereo_equipment):994 loveseat:28
machine_gun:2 magazine:338 magnet:334 mail_slot:15 mailbox_(at_home)|letter_box_(at_home):102 mallard:1 mallet:8
mammoth:1 manatee:1 mandarin_orange:28 manger|trough:91 manhole:260 map:131 marker:128 martini:3 mascot:10
mashed_potato:39 masher:2 mask|facemask:925 mast:354 mat_(gym_equipment)|gym_mat:31 matchbox:10 mattress:215
measuring_cup:71 measuring_stick|ruler_(measuring_stick)|measuring_rod:43 meatball:28 medicine:34 melon:16
microphone:273 microscope:2 microwave_oven:999 milestone|milepost:4 milk:107 milk_can:2 milkshake:1 minivan:454
mint_candy:9 mirror:1901 mitten:61 mixer_(kitchen_tool)|stand_mixer:91 money:46
monitor_(computer_equipment)_computer_monitor:1402 monkey:74 motor:421 motor_scooter|scooter:226
motor_vehicle|automotive_vehicle:10 motorcycle:1720 mound_(baseball)|pitcher's_mound:261
mouse_(computer_equipment)|computer_mouse:1337 mousepad:293 muffin:62 mug:814 mushroom:407 music_stool|piano_stool:6
musical_instrument|instrument_(musical):16 nailfile:7 napkin|table_napkin|serviette:1791 neckerchief:2 necklace:1915
necktie|tie_(necktie):1940 needle:13 nest:16 newspaper|paper_(newspaper):448 newsstand:12
nightshirt|nightwear|sleepwear|nightclothes:18 nosebag_(for_animals)|feedbag:4
noseband_(for_animals)|nosepiece_(for_animals):71 notebook:189 notepad:74 nut:103 nutcracker:3 oar:110
octopus_(food):5 octopus_(animal):9 oil_lamp|kerosene_lamp|kerosine_lamp:15 olive_oil:25 omelet|omelette:7 onion:647
orange_(fruit):824 orange_juice:100 ostrich:47 ottoman|pouf|pouffe|hassock:121 oven:731 overalls_(clothing):73 owl:49
packet:23 inkpad|inking_pad|stamp_pad:4 pad:62 paddle|boat_paddle:118 padlock:99 paintbrush:40 painting:1036
pajamas|pyjamas:105 palette|pallet:21 pan_(for_cooking)|cooking_pan:229 pan_(metal_container):7 pancake:72 pantyhose:9
papaya:10 paper_plate:328 paper_towel:468 paperback_book|paper-back_book|softback_book|soft-cover_book:1 paperweight:2
parachute:24 parakeet|parrakeet|parroket|paraquet|paroquet|parroquet:11 parasail_(sports):72 parasol|sunshade:17
parchment:10 parka|anorak:17 parking_meter:489 parrot:47 passenger_car_(part_of_a_train)|coach_(part_of_a_train):93
passenger_ship:1 passport:12 pastry:228 patty_(food):5 pea_(food):76 peach:71 peanut_butter:30 pear:109
peeler_(tool_for_fruit_and_vegetables):14 wooden_leg|pegleg:1 pegboard:8 pelican:26 pen:339 pencil:153
pencil_box|pencil_case:2 pencil_sharpener:3 pendulum:8 penguin:47 pennant:8 penny_(coin):6 pepper|peppercorn:116
pepper_mill|pepper_grinder:69 perfume:13 persimmon:6 person|baby|child|boy|girl|man|woman|human:1928 pet:79
pew_(church_bench)|church_bench:14 phonebook|telephone_book|telephone_directory:7
phonograph_record|phonograph_recording|record_(phonograph_recording):20 piano:114 pickle:221 pickup_truck:502 pie:62
pigeon:87 piggy_bank|penny_bank:4 pillow:1912 pin_(non_jewelry):7 pineapple:186 pinecone:18 ping-pong_ball:4
pinwheel:3 tobacco_pipe:7 pipe|piping:1413 pistol|handgun:7 pita_(bread)|pocket_bread:12
pitcher_(vessel_for_liquid)|ewer:248 pitchfork:4 pizza:1881 place_mat:529 plate:1932 platter:50 playpen:3
pliers|plyers:28 plow_(farm_equipment)|plough_(farm_equipment):10 plume:5 pocket_watch:5 pocketknife:18
poker_(fire_stirring_tool)|stove_poker|fire_hook:14 pole|post:1890 polo_shirt|sport_shirt:660 poncho:8 pony:25
pool_table|billiard_table|snooker_table:10 pop_(soda)|soda_(pop)|tonic|soft_drink:218
postbox_(public)|mailbox_(public):36 postcard|postal_card|mailing-card:16 poster|placard:808 pot:479 flowerpot:1404
potato:307 potholder:57 pottery|clayware:28 pouch:80 power_shovel|excavator|digger:11 prawn|shrimp:92 pretzel:20
printer|printing_machine:194 projectile_(weapon)|missile:23 projector:52 propeller|propellor:673 prune:2 pudding:2
puffer_(fish)|pufferfish|blowfish|globefish:1 puffin:2 pug-dog:8 pumpkin:80 puncher:3 puppet|marionette:3 puppy:15
quesadilla:2 quiche:10 quilt|comforter:386 rabbit:65 race_car|racing_car:3 racket|racquet:35 radar:5 radiator:180
radio_receiver|radio_set|radio|tuner_(radio):99 radish|daikon:49 raft:28 rag_doll:1 raincoat|waterproof_jacket:52
ram_(animal):36 raspberry:70 rat:6 razorblade:29 reamer_(juicer)|juicer|juice_reamer:24 rearview_mirror:1115
receipt:61 recliner|reclining_chair|lounger_(chair):18 record_player|phonograph_(record_player)|turntable:18
reflector:665 remote_control:1096 rhinoceros:29 rib_(food):8 rifle:14 ring:1622 river_boat:2 road_map:3 robe:32
rocking_chair:55 rodent:1 roller_skate:10 Rollerblade:10 rolling_pin:47 root_beer:3 router_(computer_equipment):29
rubber_band|elastic_band:342 runner_(carpet):25 plastic_bag|paper_bag:1469 saddle_(on_an_animal):521
saddle_blanket|saddlecloth|horse_blanket:347 saddlebag:35 safety_pin:7 sail:207 salad:108 salad_plate|salad_bowl:2
salami:34 salmon_(fish):12 salmon_(food):10 salsa:13 saltshaker:361 sandal_(type_of_shoe):1023 sandwich:782 satchel:2
saucepan:5 saucer:247 sausage:221 sawhorse|sawbuck:4 saxophone:8 scale_(measuring_instrument):158 scarecrow|strawman:3
scarf:752 school_bus:64 scissors:707 scoreboard:143 scraper:1 screwdriver:49 scrubbing_brush:126 sculpture:76
seabird|seafowl:11 seahorse:11 seaplane|hydroplane:4 seashell:39 sewing_machine:11 shaker:13 shampoo:91 shark:14
sharpener:5 Sharpie:3 shaver_(electric)|electric_shaver|electric_razor:10 shaving_cream|shaving_soap:18 shawl:9
shears:6 sheep:951 shepherd_dog|sheepdog:2 sherbert|sherbet:1 shield:19 shirt:1942
shoe|sneaker_(type_of_shoe)|tennis_shoe:1916 shopping_bag:139 shopping_cart:43
short_pants|shorts_(clothing)|trunks_(clothing):1969 shot_glass:5 shoulder_bag:134 shovel:74 shower_head:381
shower_cap:1 shower_curtain:381 shredder_(for_paper):6 signboard:1826 silo:28 sink:1635 skateboard:1967 skewer:16
ski:1926 ski_boot:1789 ski_parka|ski_jacket:401 ski_pole:1968 skirt:1167 skullcap:1 sled|sledge|sleigh:56
sleeping_bag:17 sling_(bandage)|triangular_bandage:1 slipper_(footwear)|carpet_slipper_(footwear):58 smoothie:9
snake|serpent:8 snowboard:1124 snowman:31 snowmobile:16 soap:491 soccer_ball:432 sock:1945 sofa|couch|lounge:1899
softball:5 solar_array|solar_battery|solar_panel:28 sombrero:7 soup:146 soup_bowl:1 soupspoon:25
sour_cream|soured_cream:22 soya_milk|soybean_milk|soymilk:1 space_shuttle:10 sparkler_(fireworks):9 spatula:308
spear|lance:4 spectacles|specs|eyeglasses|glasses:1969 spice_rack:45 spider:12 crawfish|crayfish:1 sponge:85
spoon:1127 sportswear|athletic_wear|activewear:11 spotlight:60 squid_(food)|calamari|calamary:1 squirrel:16
stagecoach:1 stapler_(stapling_machine):65 starfish|sea_star:13 statue_(sculpture):655 steak_(food):51 steak_knife:1
steering_wheel:673 stepladder:5 step_stool:36 stereo_(sound_system):54 stew:5 stirrer:8 stirrup:305 stool:297
stop_sign:1053 brake_light:223 stove|kitchen_stove|range_(kitchen_appliance)|kitchen_range|cooking_stove:1037
strainer:63 strap:1881 straw_(for_drinking)|drinking_straw:507 strawberry:333 street_sign:1911
streetlight|street_lamp:1765 string_cheese:1 stylus:5 subwoofer:1 sugar_bowl:9 sugarcane_(plant):2 suit_(clothing):151
sunflower:82 sunglasses:1931 sunhat:41 surfboard:1895 sushi:24 mop:22 sweat_pants:35 sweatband:69 sweater:962
sweatshirt:588 sweet_potato:21
swimsuit|swimwear|bathing_suit|swimming_costume|bathing_costume|swimming_trunks|bathing_trunks:825 sword:52 syringe:5
Tabasco_sauce:5 table-tennis_table|ping-pong_table:5 table:1860 table_lamp:56 tablecloth:1582 tachometer:7 taco:2
tag:1562 taillight|rear_light:1885 tambourine:1 army_tank|armored_combat_vehicle|armoured_combat_vehicle:5
tank_(storage_vessel)|storage_tank:137 tank_top_(clothing):1094 tape_(sticky_cloth_or_paper):134
tape_measure|measuring_tape:29 tapestry:22 tarp:522 tartan|plaid:50 tassel:68 tea_bag:16 teacup:40 teakettle:35
teapot:135 teddy_bear:1413 telephone|phone|telephone_set:772
telephone_booth|phone_booth|call_box|telephone_box|telephone_kiosk:50
telephone_pole|telegraph_pole|telegraph_post:1015 telephoto_lens|zoom_lens:1 television_camera|tv_camera:65
television_set|tv|tv_set:1900 tennis_ball:1302 tennis_racket:1977 tequila:2 thermometer:29 thermos_bottle:36
thermostat:138 thimble:4 thread|yarn:67 thumbtack|drawing_pin|pushpin:26 tiara:25 tiger:33
tights_(clothing)|leotards:37 timer|stopwatch:50 tinfoil:270 tinsel:12 tissue_paper:316 toast_(food):41 toaster:224
toaster_oven:105 toilet:1925 toilet_tissue|toilet_paper|bathroom_tissue:1021 tomato:1213 tongs:172 toolbox:28
toothbrush:745 toothpaste:187 toothpick:147 cover:136 tortilla:34 tow_truck:41 towel:636
towel_rack|towel_rail|towel_bar:570 toy:1149 tractor_(farm_equipment):61 traffic_light:1890 dirt_bike:18
trailer_truck|tractor_trailer|trucking_rig|articulated_lorry|semi_truck:143
train_(railroad_vehicle)|railroad_train:1517 trampoline:7 tray:943 trench_coat:6 triangle_(musical_instrument):1
tricycle:11 tripod:101 trousers|pants_(clothing):1909 truck:800 truffle_(chocolate)|chocolate_truffle:1 trunk:44 vat:3
turban:44 turkey_(food):31 turnip:7 turtle:20 turtleneck_(clothing)|polo-neck:11 typewriter:13 umbrella:1924
underwear|underclothes|underclothing|underpants:113 unicycle:2 urinal:139 urn:12 vacuum_cleaner:37 vase:1866
vending_machine:47 vent|blowhole|air_vent:1468 vest|waistcoat:729 videotape:24 vinegar:1 violin|fiddle:10 vodka:3
volleyball:14 vulture:4 waffle:29 waffle_iron:4 wagon:70 wagon_wheel:46 walking_stick:14 wall_clock:48
wall_socket|wall_plug|electric_outlet|electrical_outlet|outlet|electric_receptacle:1855 wallet|billfold:113 walrus:1
wardrobe:1 washbasin|basin_(for_washing)|washbowl|washstand|handbasin:10 automatic_washer|washing_machine:54
watch|wristwatch:1923 water_bottle:630 water_cooler:31 water_faucet|water_tap|tap_(water_faucet):69
water_heater|hot-water_heater:7 water_jug:11 water_gun|squirt_gun:1 water_scooter|sea_scooter|jet_ski:30 water_ski:50
water_tower:45 watering_can:28 watermelon:114 weathervane|vane_(weathervane)|wind_vane:193 webcam:21
wedding_cake|bridecake:91 wedding_ring|wedding_band:31 wet_suit:1469 wheel:1924 wheelchair:87 whipped_cream:77
whistle:11 wig:47 wind_chime:21 windmill:47 window_box_(for_plants):70
windshield_wiper|windscreen_wiper|wiper_(for_windshield/screen):1838
windsock|air_sock|air-sleeve|wind_sleeve|wind_cone:19 wine_bottle:531 wine_bucket|wine_cooler:11 wineglass:941
blinder_(for_horses):113 wok:26 wolf:5 wooden_spoon:56 wreath:73 wrench|spanner:32 wristband:128
wristlet|wrist_band:623 yacht:12 yogurt|yoghurt|yoghourt:52 yoke_(animal_equipment):11 zebra:1674
zucchini|courgette:81
"""

_ROWS = [entry.rpartition(':') for entry in _TABLE.split()]
_WORDS = [[lvis_prompt_name(word) for word in words.split('|')] for words, _, _ in _ROWS]

#: The 1,203 names in the order of their category ids 1 to 1203, as :func:`lvis_prompt_name` gives them.
LVIS_V1_NAMES: tuple[str, ...] = tuple(words[0] for words in _WORDS)

#: Other words for the same thing, for the names that have any.
LVIS_V1_SYNONYMS: dict[str, tuple[str, ...]] = {words[0]: tuple(words[1:]) for words in _WORDS if len(words) > 1}

#: In how many of the 100,170 training images a category has objects, by name.
LVIS_V1_IMAGE_COUNTS: dict[str, int] = {name: int(row[2]) for name, row in zip(LVIS_V1_NAMES, _ROWS, strict=True)}

#: ``'r'``, ``'c'`` or ``'f'`` by name: 337 rare, 461 common and 405 frequent.
LVIS_V1_FREQUENCY: dict[str, str] = {name: _frequency(images) for name, images in LVIS_V1_IMAGE_COUNTS.items()}

#: The 866 common and frequent names.
LVIS_V1_BASE: tuple[str, ...] = tuple(name for name in LVIS_V1_NAMES if LVIS_V1_FREQUENCY[name] != 'r')

#: The 337 rare names.
LVIS_V1_RARE: tuple[str, ...] = tuple(name for name in LVIS_V1_NAMES if LVIS_V1_FREQUENCY[name] == 'r')
