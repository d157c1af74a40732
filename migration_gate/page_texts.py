"""What the page says, in English and in French. What a state is called and caused by in English stands in `states`."""

# ruff: noqa: RUF001  French is set with the typographic apostrophe

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migration_gate.states import RULES, State


@dataclass(frozen=True)
class Words:
    """The words of one language. Those with braces are filled in by `str.format`."""

    language: str
    eyebrow: str
    code_needs: str
    database_is_at: str
    nothing: str
    not_known: str
    missing: str
    unknown: str
    broken: str
    under_way: str
    and_more: str
    running: str
    progress: str
    progress_unknown: str
    migrator: str
    nothing_to_do: str
    to_run: str
    to_do: str
    select_hint: str
    stale: str
    since: str
    refreshes: str
    ago_s: str
    ago_min: str
    ago_h: str
    ago_d: str
    titles: Mapping[State, str]
    causes: Mapping[State, str]
    solutions: Mapping[State, str]


ENGLISH = Words(
    language="en",
    eyebrow="Not serving yet",
    code_needs="The code needs",
    database_is_at="The database is at",
    nothing="no revision",
    not_known="not known",
    missing="Missing revisions, in order",
    unknown="Revisions that this code does not know",
    broken="Statements that cannot run",
    under_way="under way",
    and_more="and {count} more",
    running="A migration is at work",
    progress="{done} of {planned} applied",
    progress_unknown="its revisions are being applied",
    migrator="{name}, for {duration}",
    nothing_to_do="There is nothing to run: this page gives way when the migration is done.",
    to_run="To mend it, run",
    to_do="To mend it",
    select_hint="One click selects the command.",
    stale="The database does not answer at this moment; this is what was last seen.",
    since="In this state since {time}, for {duration}.",
    refreshes="This page looks again every {seconds} seconds and gives way by itself.",
    ago_s="{count} s",
    ago_min="{count} min",
    ago_h="{count} h {rest} min",
    ago_d="{count} d {rest} h",
    titles={state: rule.title for state, rule in RULES.items()},
    causes={state: rule.cause for state, rule in RULES.items()},
    solutions={state: rule.solution for state, rule in RULES.items()},
)

_UPGRADE = "alembic upgrade head"

# In French a colon and a semicolon stand off from their word, and never at the start of a line.
_COLON, _SEMICOLON = "\u00a0:", "\u202f;"


def _set_in_french(texts: Mapping[State, str]) -> Mapping[State, str]:
    return {state: text.replace(" :", _COLON).replace(" ;", _SEMICOLON) for state, text in texts.items()}


_CAUSES = {
    State.NEVER_MIGRATED: "Les migrations n’ont jamais été appliquées à cette base.",
    State.UNVERSIONED: "La base contient des tables sans aucune trace de migration : elles viennent d’ailleurs.",
    State.BEHIND: "Ce code a été déployé sans que ses migrations soient appliquées.",
    State.CURRENT: "",
    State.AHEAD_COMPATIBLE: (
        "Une version plus récente a migré cette base, sans rien changer qui gêne ce code, à notre connaissance."
    ),
    State.AHEAD_INCOMPATIBLE: "Une version plus récente a retiré ce que ce code utilise encore.",
    State.DIVERGED: (
        "La base porte une révision que ni ce code ni le registre ne savent situer : elle a été migrée depuis une"
        " autre branche, ou appartient à autre chose."
    ),
    State.TAMPERED: (
        "Un fichier de migration a été modifié alors que cette base l’avait déjà appliqué : les bases ne"
        " concordent plus."
    ),
    State.MULTIPLE_HEADS: "Deux branches ont chacune ajouté une migration, et rien ne dit laquelle vient d’abord.",
    State.BROKEN_GRAPH: (
        "Les fichiers de migration ne s’enchaînent pas : ce code ne sait donc pas quel schéma il lui faut."
    ),
    State.INCOMPLETE: "Une étape hors transaction a commencé sans aboutir : une partie est faite, l’autre non.",
    State.DRIFTED: "Quelqu’un a modifié le schéma à la main depuis la dernière migration.",
    State.PRIVILEGES_MISSING: (
        "Le rôle de l’application n’a pas reçu les droits nécessaires sur les tables du rôle qui migre."
    ),
    State.STATEMENT_BROKEN: (
        "Selon la révision enregistrée, tout y est ; pourtant une requête de ce code ne peut pas s’exécuter :"
        " un changement a été marqué comme fait sans l’être, ou fait à la main."
    ),
    State.WRONG_DATABASE: "L’adresse mène à une base, ou à un schéma de celle-ci, qui n’est pas de ce projet.",
    State.UNREACHABLE: "Aucune session n’a pu être ouverte sur la base.",
}

_SOLUTIONS = {
    State.NEVER_MIGRATED: _UPGRADE,
    State.UNVERSIONED: (
        "si ces tables sont celles de l’application : migration-gate ledger baseline, qui les compare à ce que"
        f" produisent les migrations ; sinon : alembic stamp base ; puis : {_UPGRADE}"
    ),
    State.BEHIND: _UPGRADE,
    State.CURRENT: "",
    State.AHEAD_COMPATIBLE: "rien à lancer ; déployez la version plus récente quand elle sera prête",
    State.AHEAD_INCOMPATIBLE: (
        "redéployez la version plus récente ; ne rétrogradez pas la base, elle y perdrait ce qu’elle a reçu depuis"
    ),
    State.DIVERGED: ("vérifiez DATABASE_URL, puis déployez un code qui contient cette révision ; rien n’a été touché"),
    State.TAMPERED: (
        "rétablissez le fichier et portez le changement dans une nouvelle révision ; si la modification ne"
        " change rien dans une base : migration-gate ledger accept --reason TEXT"
    ),
    State.MULTIPLE_HEADS: (
        'alembic merge heads -m "merge heads", ou donnez à la seconde migration la première pour down_revision'
    ),
    State.BROKEN_GRAPH: (
        "cherchez un down_revision qui ne désigne aucun fichier, ou un identifiant que deux fichiers partagent ;"
        " puis : migration-gate lock"
    ),
    State.INCOMPLETE: f"{_UPGRADE}, qui reprend là où cela s’est arrêté",
    State.DRIFTED: (
        "annulez le changement, ou portez-le dans une révision ; si le schéma est bon tel quel :"
        " migration-gate ledger accept --reason TEXT"
    ),
    State.PRIVILEGES_MISSING: (
        "avec le rôle qui migre, accordez à celui de l’application : SELECT sur la table des versions et ses"
        " voisines, et ce que demandent ses requêtes sur ses propres tables (SELECT, INSERT, UPDATE, DELETE)"
    ),
    State.STATEMENT_BROKEN: (
        "réparez la table que nomme l’erreur de la requête, dans le journal ; le trafic reprend alors de lui-même"
    ),
    State.WRONG_DATABASE: "corrigez DATABASE_URL (et le search_path du rôle) ; rien n’a été touché",
    State.UNREACHABLE: "vérifiez que PostgreSQL tourne et que DATABASE_URL le désigne",
}

FRENCH = Words(
    language="fr",
    eyebrow="Service en attente",
    code_needs="Le code attend",
    database_is_at="La base en est à",
    nothing="aucune révision",
    not_known="inconnu",
    missing="Révisions manquantes, dans l’ordre",
    unknown="Révisions inconnues de ce code",
    broken="Requêtes qui ne peuvent pas s’exécuter",
    under_way="en cours",
    and_more="et {count} de plus",
    running="Une migration est en cours",
    progress=f"Appliquées{_COLON} {{done}} sur {{planned}}",
    progress_unknown="ses révisions sont en cours d’application",
    migrator="{name}, depuis {duration}",
    nothing_to_do=f"Il n’y a rien à lancer{_COLON} cette page s’efface dès que la migration est terminée.",
    to_run="Pour y remédier, lancez",
    to_do="Pour y remédier",
    select_hint="Un clic sélectionne la commande.",
    stale=f"La base ne répond pas en ce moment{_SEMICOLON} voici le dernier état connu.",
    since="Dans cet état depuis {time}, soit {duration}.",
    refreshes="Cette page vérifie à nouveau toutes les {seconds} secondes et s’efface d’elle-même.",
    ago_s="{count} s",
    ago_min="{count} min",
    ago_h="{count} h {rest} min",
    ago_d="{count} j {rest} h",
    titles={
        State.NEVER_MIGRATED: "La base n’a jamais été migrée",
        State.UNVERSIONED: "La base n’enregistre aucune révision",
        State.BEHIND: "Le schéma de la base est en retard sur le code",
        State.CURRENT: "Le schéma de la base est à jour",
        State.AHEAD_COMPATIBLE: "Le schéma de la base est en avance sur le code",
        State.AHEAD_INCOMPATIBLE: "Le schéma de la base a distancé ce code",
        State.DIVERGED: "Le schéma de la base et le code ont divergé",
        State.TAMPERED: "Une migration a été modifiée après son application",
        State.MULTIPLE_HEADS: "Le code a plusieurs têtes",
        State.BROKEN_GRAPH: "Les migrations du code ne forment pas un graphe",
        State.INCOMPLETE: "Une migration s’est arrêtée à mi-chemin",
        State.DRIFTED: "Le schéma a été modifié hors des migrations",
        State.PRIVILEGES_MISSING: "Il manque des droits à l’application",
        State.STATEMENT_BROKEN: "Une requête du code ne peut pas s’exécuter sur cette base",
        State.WRONG_DATABASE: "Cette base appartient à un autre projet",
        State.UNREACHABLE: "La base est injoignable",
    },
    causes=_set_in_french(_CAUSES),
    solutions=_set_in_french(_SOLUTIONS),
)

LANGUAGES = {words.language: words for words in (ENGLISH, FRENCH)}
