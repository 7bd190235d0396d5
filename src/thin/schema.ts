// The pool's metadata as SQLite holds it: tables, application id, version. Pages and reference counts are BLOBs whose
// layout entry.ts knows. Changed in whole transactions by the commit worker only; read by the pool and the tools.

/** `PRAGMA application_id`: "LMNA". A database without it is not ours. */
export const APPLICATION_ID = 0x4c4d4e41;
/** `PRAGMA user_version`: the layout below. */
export const SCHEMA_VERSION = 1;

const VOLUME_COLUMNS = `
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  guid TEXT NOT NULL,
  size INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  root INTEGER NOT NULL,
  mapped INTEGER NOT NULL,
  transaction_id INTEGER NOT NULL,
  creation_time INTEGER NOT NULL,
  snap_time INTEGER NOT NULL,
  read_only INTEGER NOT NULL,
  partial INTEGER NOT NULL,
  origin INTEGER,
  external TEXT`;

export const SCHEMA = `
CREATE TABLE thin_pool (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  uuid TEXT NOT NULL,
  block_size INTEGER NOT NULL,
  data_blocks INTEGER NOT NULL,
  data TEXT NOT NULL,
  time INTEGER NOT NULL,
  transaction_id INTEGER NOT NULL,
  held_time INTEGER,
  held_transaction_id INTEGER,
  needs_check INTEGER NOT NULL,
  options TEXT NOT NULL
) STRICT;
CREATE TABLE thin_volume (${VOLUME_COLUMNS}
) STRICT;
CREATE TABLE thin_held (${VOLUME_COLUMNS}
) STRICT;
CREATE TABLE thin_page (id INTEGER PRIMARY KEY, words BLOB NOT NULL) STRICT;
CREATE TABLE thin_data_count (id INTEGER PRIMARY KEY, free INTEGER NOT NULL, counts BLOB NOT NULL) STRICT;
CREATE TABLE thin_page_count (id INTEGER PRIMARY KEY, free INTEGER NOT NULL, counts BLOB NOT NULL) STRICT;
CREATE TABLE thin_doomed (page INTEGER PRIMARY KEY, depth INTEGER NOT NULL) STRICT;
`;

/** The one row of thin_pool. Sizes in bytes, counts in blocks. */
export interface PoolRow {
  readonly uuid: string;
  readonly block_size: number;
  data_blocks: number;
  /** The data file or device: absolute, or relative to the pool's directory. */
  readonly data: string;
  /** Counts snapshots; mappings carry the time at which they were made. */
  time: number;
  transaction_id: number;
  /** Of the metadata snapshot in thin_held; null when there is none. */
  held_time: number | null;
  held_transaction_id: number | null;
  /** 1: a metadata operation found something wrong; read-only until `check` is content. */
  needs_check: number;
  /** PoolOptions as JSON. */
  options: string;
}

/** A row of thin_volume, or of thin_held. */
export interface VolumeRow {
  readonly id: number;
  name: string;
  /** Names the content of a read-only volume wherever it is sent; new whenever content may differ. */
  guid: string;
  /** Bytes. */
  size: number;
  /** Height of the map: 1 is a leaf alone. */
  depth: number;
  /** Page id of the root; 0 when nothing is mapped. */
  root: number;
  /** Mapped blocks. */
  mapped: number;
  /** The pool's when this volume was created, and its time, and that of its last snapshot (as dm-thin keeps them). */
  transaction_id: number;
  creation_time: number;
  snap_time: number;
  /** 0 or 1. */
  read_only: number;
  /** 1: being received or imported; removed when the pool is opened next. */
  partial: number;
  /** Id of the volume that this is a snapshot of, for people; it may be gone. */
  origin: number | null;
  /** External origin: the file or device that unmapped blocks are read from. */
  external: string | null;
}
