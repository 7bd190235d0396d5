// Where layers are kept: what the store asks of the directories of a union, or of the volumes of a thin pool.
import type { ApplyResult, ByteSource, Change, IdMap } from '../oci/index.js';

/** A layer as a backend knows it. */
export interface LayerRef {
  readonly id: number;
  /** Ids of the layers under it, the nearest first. */
  readonly parents: readonly number[];
  /** It is finished, or a view: nothing is written to it. */
  readonly readOnly: boolean;
  /** Bytes that it may take, or null. */
  readonly quota: number | null;
  /** Its mounts show the ids that it holds (`inside`) as those of a user namespace (`outside`). */
  readonly shown: IdMap | null;
  /** What its own content is known to take, or null. */
  readonly usage: LayerUsage | null;
}

/** What a layer's own content takes on disk. */
export interface LayerUsage {
  readonly bytes: number;
  readonly inodes: number;
}

/** The directories of an active layer, for who fills it beside us, in kernel overlayfs's format. */
export interface OverlayDirs {
  readonly upper: string;
  readonly work: string;
  /** The nearest first; at least one. */
  readonly lowers: readonly string[];
}

/** A layer that is mounted. */
export interface LayerMount {
  /** Settles when the mount is gone, whoever ended it, and everything of it has been given back. */
  readonly closed: Promise<void>;
  /** What the layer takes now, where the mount knows it. */
  usage?(): (LayerUsage & { readonly exact: boolean }) | null;
  /** After `unmount`: somebody else still has it, by a bind or in another mount namespace. It ends with the last of them. */
  readonly held?: boolean;
  /** Ends a mount that is held: whoever has it gets errors from now on. */
  abandon?(): void;
  /** SysError EBUSY when it is in use, unless `lazy`: then it leaves the tree, and ends with its last user. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
}

export interface Backend {
  readonly name: BackendName;
  /**
   * Makes the storage of a new layer, on that of its parents. Nothing may be left of it after a failure. What is there of an
   * id that no row has is swept away when the store is opened. `ids`: its root is a user namespace's root's.
   */
  create(layer: LayerRef, ids: IdMap | null): Promise<void>;
  /** Takes a layer's storage away; what takes long goes on behind. Absent is fine. */
  discard(id: number): Promise<void>;
  /** Makes storage whole that a crash has left otherwise; before anything of it is used. */
  recover?(): Promise<void>;
  /** Ids whose storage is there. */
  stored(): Promise<number[]>;
  /**
   * A directory that shows the layer as it is, without a mount; null when it has to be mounted. The directory of a read-only
   * layer can be written to: who gets it must see to that.
   */
  directory(layer: LayerRef): string | null;
  /** Where others may write to the layer directly; null where nobody may. */
  overlay?(layer: LayerRef): OverlayDirs | null;
  /** Mounts the layer at the directory `target`; read-only when it is. */
  mount(layer: LayerRef, target: string): Promise<LayerMount>;
  /** Applies a layer tar to a layer that is not mounted. After a failure the layer is good for nothing but `discard`. */
  apply(layer: LayerRef, tar: ByteSource, ids: IdMap | null): Promise<ApplyResult>;
  /** What the layer changes over its parents, as an (uncompressed) OCI layer tar. */
  diff(layer: LayerRef, ids: IdMap | null): AsyncIterable<Buffer>;
  changes(layer: LayerRef): AsyncIterable<Change>;
  /** Finds out what the layer's own content takes on disk, if need be by walking it. */
  measure(layer: LayerRef): Promise<LayerUsage>;
  /** Where the layer is, for people, as `docker inspect` shows it. `target` is where it would be mounted. */
  describe(layer: LayerRef, target: string): Record<string, string>;
  /** About the backend itself, for people: rows of `docker info`. */
  status(): Promise<[string, string][]>;
  /** Waits for what goes on behind, and lets go of everything. No layer is mounted any more. */
  close(): Promise<void>;
}

export type BackendName = 'union' | 'thin';
