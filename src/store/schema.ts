// The store's tables in SQLite: layers and volumes, and what is mounted. Written in whole transactions by catalog.ts only.

/** `PRAGMA application_id`: "LMNS". A database without it is not ours. */
export const APPLICATION_ID = 0x4c4d4e53;
/** `PRAGMA user_version`: the layout below. */
export const SCHEMA_VERSION = 1;

// AUTOINCREMENT: an id names directories, and the directories of a layer that is gone may still be there for a moment.
export const SCHEMA = `
CREATE TABLE store (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  backend TEXT NOT NULL,
  boot TEXT NOT NULL
) STRICT;
CREATE TABLE layer (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  realm TEXT NOT NULL,
  name TEXT NOT NULL,
  parent INTEGER REFERENCES layer(id),
  kind TEXT NOT NULL CHECK (kind IN ('active', 'view', 'committed')),
  labels TEXT NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  quota INTEGER,
  shown TEXT,
  bytes INTEGER,
  inodes INTEGER,
  mounts INTEGER NOT NULL DEFAULT 0,
  filling INTEGER NOT NULL DEFAULT 0,
  UNIQUE (realm, name)
) STRICT;
CREATE INDEX layer_parent ON layer(parent);
CREATE TABLE setting (
  realm TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (realm, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE volume (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('directory', 'image', 'thin')),
  size INTEGER,
  origin TEXT,
  created INTEGER NOT NULL
) STRICT;
CREATE TABLE volume_holder (
  volume INTEGER NOT NULL REFERENCES volume(id) ON DELETE CASCADE,
  holder TEXT NOT NULL,
  PRIMARY KEY (volume, holder)
) STRICT, WITHOUT ROWID;
`;

/** What a layer is to its engine: it can be written to, it can be read, it is finished and may be a parent. */
export type LayerKind = 'active' | 'view' | 'committed';

/** A row of `layer`. */
export interface LayerRow {
  readonly id: number;
  /** Whose names these are: names of one engine's protocol never meet those of another. */
  readonly realm: string;
  readonly name: string;
  readonly parent: number | null;
  readonly kind: LayerKind;
  /** A JSON object of strings. */
  readonly labels: string;
  /** Microseconds since 1970. */
  readonly created: number;
  readonly updated: number;
  /** Bytes that the layer may take, or null. */
  readonly quota: number | null;
  /** An IdMap as JSON, or null: the ids that its mounts show. */
  readonly shown: string | null;
  /** What its own content takes on disk, without its parents'; null when that has yet to be found out. */
  readonly bytes: number | null;
  readonly inodes: number | null;
  /** How many hold it mounted. */
  readonly mounts: number;
  /** 1 from when a tar began to be applied to it until that has succeeded; a layer left so is half made. */
  readonly filling: number;
}

/** How a volume is kept: a directory, a file system in a file of its own, a file system on a thin volume. */
export type VolumeKind = 'directory' | 'image' | 'thin';

/** A row of `volume`. */
export interface VolumeRow {
  readonly id: number;
  readonly name: string;
  readonly kind: VolumeKind;
  /** Bytes that it may hold, or null. */
  readonly size: number | null;
  /** The name of the volume that this began as a snapshot of. */
  readonly origin: string | null;
  /** Milliseconds since 1970. */
  readonly created: number;
}
