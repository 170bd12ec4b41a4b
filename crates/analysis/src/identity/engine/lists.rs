//! Short lists of what people write for one thing: given names and their familiar forms, endings of company names, words of job
//! titles, and what stands for "nothing".

use std::sync::LazyLock;

use hashbrown::{HashMap, HashSet};

/// A given name and the familiar forms of it. A form that belongs to several names is given to the most common one.
const NICKNAMES: &str = "abigail abby abbie gail;abraham abe;adelaide addie;agnes aggie;albert al bert bertie;alexander alex alec sandy sasha xander;\
alexandra alexa lexi sandra;alfred alf alfie fred;alice allie;alison ali;allan alan allen al;amanda mandy;amelia amy millie;andrea andie;\
andrew andy drew;angela angie;ann anna anne annie nan nancy;anthony tony anton;antonio tonio;archibald archie;arnold arnie;arthur art artie;\
augustus gus august;barbara barb babs barbie;bartholomew bart;beatrice bea trixie;belinda linda;benedict ben;benjamin ben benny benji;bernard bernie barney;\
bradley brad;bradford brad;brian bryan;bridget bridie;calvin cal;cameron cam;caroline carrie carol caro;carolyn carrie lynn;cassandra cassie sandra;catherine cathy kate katie cat kathy kitty;\
katherine kathy kate katie kit kitty;kathleen kathy kate kay;cecilia celia cissy;charles charlie chuck chas chad;charlotte lottie char;chester chet;christina chris tina chrissy;\
christine chris tina chrissy;christopher chris kit topher;clarence clare;clifford cliff;clifton cliff;clinton clint;constance connie;cornelius neil corny;\
curtis curt;cynthia cindy;daniel dan danny;danielle dani;david dave davy davey;deborah deb debbie debby debra;dennis denny den;derek derrick;diana di diane;dominic dom nick;\
donald don donnie;dorothy dot dottie dolly;douglas doug;edgar ed;edmund ed eddie ned ted;edward ed eddie ned ted teddy;edwin ed eddie;eileen aileen;eleanor ellie nell nora ella;\
elizabeth liz beth betty eliza lizzie lisa libby betsy bess;ellen nell ellie;emily em emmy;emma em;eric rick;ernest ernie;estelle stella;esther essie hester;eugene gene;evelyn eve evie;\
ferdinand ferdie;florence flo flossie;frances fran francie frankie;francis frank fran;franklin frank;frederick fred freddie fritz rick;friedrich fritz fred;gabriel gabe;gabrielle gabby gaby;\
genevieve gen;geoffrey geoff jeff;george georgie;gerald gerry jerry;geraldine gerry;gertrude gertie trudy;gilbert gil bert;gregory greg gregg;gwendolyn gwen wendy;hannah anna;harold hal harry;\
harriet hattie;harrison harry;helen nell lena;henrietta etta hettie;henry hank harry hal;herbert herb bert;herman manny;howard howie;hubert bert;hugh huey;isaac ike zac;isabel belle bella izzy;isabella bella belle izzy;\
isidore izzy;jacob jake;jacqueline jackie jacqui;james jim jimmy jamie jem;jane janie jenny;janet jan;janice jan;jason jay;jean jeannie;jeanette jean jeannie;jeffrey jeff;jennifer jen jenny jenn;\
jeremy jerry;jerome jerry;jessica jess jessie;joan joanie;joanna jo;johanna jo hanna;john johnny jack jock;jonathan jon nathan jonny;joseph joe joey jos;josephine jo josie;joshua josh;joyce joy;judith judy;julia julie jules;\
julian jules;juliet julie;justin jus;karen kari;kenneth ken kenny;kimberly kim;kristina kris kristy tina;kristen kris kristy;lawrence larry lars lonnie;laurence larry laurie;laura laurie lori;lauren laurie;leonard len lenny leo;\
leonardo leo;leroy roy lee;leslie les;lester les;lewis lew;lillian lil lily;linda lindy lynn;louis lou louie;louise lou;lucille lucy;lucinda lucy cindy;luis lou;madeline maddie;magdalena lena maggie;manuel manny;\
marcus marc mark;margaret maggie meg peggy marge margie greta madge rita;margarita rita;maria mary marie mimi;marianne mary anne;marilyn mary lynn;martha marty patty;martin marty;marvin marv;mary molly polly mae mamie;\
matilda tilly mattie;matthew matt matty;maurice morrie moe;maxwell max;maximilian max;megan meg;melanie mel;melinda mindy linda;melissa mel missy lissa;melvin mel;mercedes mercy;meredith merry;michael mike mick mickey micky mikey;\
michelle shelly micki;mildred millie;milton milt;minerva minnie;miranda mandy randy;miriam mimi mitzi;mitchell mitch;mohammed mohamed muhammad mo;monica mona;morris moe morrie;mortimer mort;moses moe;nancy nan;natalie nat;\
nathan nate nat;nathaniel nate nat;nicholas nick nicky nico klaus;nicole nicki nikki;nora norah;norbert bert;norman norm;oliver ollie;olivia liv livvy;oscar ossie;oswald ozzie;pamela pam;patricia pat patty tricia trish patsy;\
patrick pat paddy rick;paula polly;pauline paula polly;penelope penny;peter pete;philip phil pip phillip;phyllis phyl;prudence prue;priscilla cilla prissy;rachel rae;rafael rafa raf;ralph rafe;randall randy;randolph randy;raymond ray;\
rebecca becky becca reba;regina gina;reginald reg reggie;richard rick dick rich ricky richie;robert bob rob bobby robbie bert robin;roberta bobbie robbie;roderick rod rick;rodney rod;roger rog hodge;roland rollie;ronald ron ronnie;\
rosemary rose rosie;roxanne roxy;russell russ rusty;ruth ruthie;samantha sam sammy;samuel sam sammy;sarah sara sally sadie;sebastian seb bastian;sharon shari;shirley shirl;sidney sid;solomon sol;sophia sophie;stanley stan;stephanie steph stephie;\
stephen steve stevie stefan;steven steve stevie;stuart stu stewart;susan sue susie suzy;susanna sue susie;suzanne sue suzy;sylvester sly;sylvia syl;tabitha tabby;terrance terry;terence terry;teresa terry tess tessa;theresa terry tess tracy;\
theodore ted teddy theo;thomas tom tommy;timothy tim timmy;tobias toby;valentine val;valerie val;vanessa nessa;veronica ronnie vera roni;vernon vern;victor vic;victoria vicky vic tori;vincent vince vinny;violet vi;virginia ginny ginger;\
vivian viv;walter walt wally;wallace wally;warren ren;wendell dell;wesley wes;wilbur will;wilfred will fred;wilhelm willi willy;william bill will billy willy liam;winifred winnie;winston win;woodrow woody;yvonne vonnie;zachary zach zack;\
francisco paco pancho frank;jose pepe;guadalupe lupe;ignacio nacho;enrique quique;jesus chuy;alejandro alex;roberto beto;dolores lola;consuelo chelo;concepcion concha;mercedes merche;isabel isa;rosario charo;johannes hans jo;\
matthias matze;joachim jochen;heinrich heinz;katharina kathi;ulrich uli;wolfgang wolf;gunther gunter guenther;jurgen juergen;bogdan bodzio;tomasz tomek;piotr piotrek;jakub kuba;aleksandra ola;katarzyna kasia;malgorzata gosia;agnieszka aga;\
stanislaw staszek;krzysztof krzysiek;wojciech wojtek;jerzy jurek;magdalena magda;joanna asia;anna ania";

/// The root of every familiar form, by the form.
pub(super) fn root_of(name: &str) -> Option<&'static str> {
    static ROOTS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
        let mut roots = HashMap::new();
        for entry in NICKNAMES.split(';') {
            let mut words = entry.split_ascii_whitespace();
            let Some(root) = words.next() else { continue };
            for form in words {
                roots.entry(form).or_insert(root);
            }
        }
        // A form of a form leads to the first name of the chain: two steps are the most there are.
        let direct = roots.clone();
        for root in roots.values_mut() {
            if let Some(further) = direct.get(root).filter(|further| direct.get(*further).is_none_or(|back| back != root)) {
                *root = further;
            }
        }
        roots
    });
    ROOTS.get(name).copied()
}

/// The entries of the list in which each name stands.
static ENTRIES: LazyLock<HashMap<&'static str, Vec<u16>>> = LazyLock::new(|| {
    let mut entries: HashMap<&'static str, Vec<u16>> = HashMap::new();
    for (number, entry) in (0_u16..).zip(NICKNAMES.split(';')) {
        for word in entry.split_ascii_whitespace() {
            entries.entry(word).or_default().push(number);
        }
    }
    entries
});

/// Whether the list speaks of a name at all.
pub(super) fn is_known(name: &str) -> bool {
    ENTRIES.contains_key(name)
}

/// Whether one name is written for the other at home: both are forms of one name, or one is a form of the other.
pub(super) fn are_forms(one: &str, two: &str) -> bool {
    match (ENTRIES.get(one), ENTRIES.get(two)) {
        (Some(one), Some(two)) => one.iter().any(|entry| two.contains(entry)),
        _ => false,
    }
}

/// Words that end a company's name and say what it is in law, or only that it is large.
const LEGAL: &str = "inc incorporated llc lc corporation corp company co limited ltd plc llp lp lllp gmbh mbh ag kg kgaa ohg gbr ug ek ev se sarl sas sasu sa snc eurl scop \
sl slu slp srl spa sapa bv nv vof cv bvba sprl ab hb aps as asa oy oyj ky sp zoo zo o spzoo spj sro as doo dd kft zrt bt nyrt ltda me eireli mei pty pte sdn bhd pvt private kk yk \
group holding holdings gruppe groupe grupo gruppo international intl";

/// Whether a word of a company's name says nothing of which company it is.
pub(super) fn is_legal(word: &str) -> bool {
    static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| LEGAL.split_ascii_whitespace().collect());
    SET.contains(word)
}

/// Short and long forms of the words of job titles.
const TITLE_WORDS: &str = "sr=senior;snr=senior;jr=junior;jnr=junior;vp=vice president;svp=senior vice president;evp=executive vice president;avp=assistant vice president;\
dir=director;mgr=manager;mgmt=management;hr=human resources;ops=operations;dev=development;biz=business;bizdev=business development;eng=engineering;mktg=marketing;mkt=marketing;asst=assistant;\
assoc=associate;exec=executive;admin=administrator;ceo=chief executive officer;cto=chief technology officer;cfo=chief financial officer;coo=chief operating officer;cmo=chief marketing officer;\
cio=chief information officer;gm=general manager;pm=product manager;swe=software engineer;tech=technology;fin=finance;acct=account;cs=customer success;rd=research development;pr=public relations";

/// The long form of a title's word.
pub(super) fn title_word(word: &str) -> &str {
    static WORDS: LazyLock<HashMap<&str, &str>> =
        LazyLock::new(|| TITLE_WORDS.split(';').filter_map(|entry| entry.split_once('=')).collect());
    WORDS.get(word).copied().unwrap_or(word)
}

/// What is typed into a field that must not stay empty.
const NOTHING: &str = "na none null nil unknown unbekannt inconnu test tester testing asdf asd qwerty qwertz xxx xx abc aaa anonymous anon noname no name nobody \
noemail nomail placeholder example sample demo dummy tbd todo missing undefined first last firstname lastname name vorname nachname prenom nom";

/// Whether a folded text is no value.
pub(super) fn is_nothing(text: &str) -> bool {
    static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| NOTHING.split_ascii_whitespace().collect());
    text == "n a" || SET.contains(text)
}

/// The providers whose addresses are mistyped often enough to be worth mending.
pub(super) const MENDED: [&str; 14] = [
    "gmail.com",
    "yahoo.com",
    "outlook.com",
    "hotmail.com",
    "icloud.com",
    "protonmail.com",
    "googlemail.com",
    "web.de",
    "gmx.de",
    "orange.fr",
    "aol.com",
    "t-online.de",
    "comcast.net",
    "wanadoo.fr",
];
