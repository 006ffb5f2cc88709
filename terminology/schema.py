"""Tables of the terminology's one file: code systems in general, drugs in particular.

Written by `writing` and `tier_a`, read by `concepts` and `store`. A change of the tables is a new SCHEMA.
"""

from __future__ import annotations

SCHEMA = 1

TABLES = """
create table meta (key text primary key, value text not null) without rowid;

create table load (
    kind text not null, name text not null, version text not null,
    sha256 text not null, loaded_at text not null,
    primary key (kind, name, version)) without rowid;
create table code_system (
    id integer primary key, url text not null, version text not null, name text not null,
    content text not null, licence text not null, notice text not null,
    sha256 text not null, loaded_at text not null, origin text not null,
    kind text not null, is_default integer not null, concepts integer not null default 0,
    unique (url, version));
create table concept (
    id integer primary key, cs integer not null, code text not null, display text not null,
    kind text not null, active integer not null,
    unique (cs, code));
create table property (
    concept integer not null, name text not null, value text not null, type text not null,
    primary key (concept, name, value)) without rowid;
create table designation (
    concept integer not null, use text not null, lang text not null, value text not null,
    primary key (concept, use, lang, value)) without rowid;
create table edge (
    child integer not null, rel text not null, parent integer not null,
    primary key (child, rel, parent)) without rowid;
create table closure (
    desc integer not null, anc integer not null,
    primary key (desc, anc)) without rowid;
create virtual table concept_fts using fts5 (
    display, designations, cs, content='', tokenize='unicode61 remove_diacritics 2', prefix='2 3');

create table concept_map (
    id integer primary key, url text not null unique, version text not null, name text not null,
    origin text not null, body text not null);
create table map (
    src_system text not null, src_code text not null, tgt_system text not null, tgt_code text not null,
    equivalence text not null, map_id integer not null,
    primary key (src_system, src_code, tgt_system, tgt_code, map_id)) without rowid;
create table value_set (
    id integer primary key, url text not null, version text not null, name text not null,
    origin text not null, enumerated integer not null, body text not null,
    unique (url, version));
create table vs_member (
    vs integer not null, n integer not null, system text not null, version text not null,
    code text not null, display text not null,
    primary key (vs, n)) without rowid;

create table ndc (ndc11 text primary key, rxcui text not null, source text not null) without rowid;
create table name (folded text not null, code text not null, primary key (folded, code)) without rowid;
create table drug (code text primary key, body text not null) without rowid;
create table product (ingredients text not null, code text not null, primary key (ingredients, code))
    without rowid;
create table class (
    ingredient text not null, type text not null, code text not null, name text not null,
    source text not null, primary key (ingredient, type, code, source)) without rowid;
"""

INDEXES = {
    "concept_kind": "concept (cs, kind)",
    "property_value": "property (name, value)",
    "edge_parent": "edge (parent, rel)",
    "closure_anc": "closure (anc)",
    "map_target": "map (tgt_system, tgt_code)",
}
"""Made after the rows are in: a sorted pass is several times faster than keeping them while writing."""
