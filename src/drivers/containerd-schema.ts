// The messages of containerd.services.snapshots.v1 as containerd 1.6 to 2.3 send them, in both directions: the wire format
// for protobuf, and the same as types.
// Source: api/services/snapshots/v1/snapshots.proto and api/types/mount.proto of containerd.

/** The name of the service on the wire. Names of messages are not on the wire. */
export const SERVICE = 'containerd.services.snapshots.v1.Snapshots';

const TEXT = { type: 'string' };
const NUMBER = { type: 'int64' };
const LABELS = { keyType: 'string', type: 'string' };
const KEY = { snapshotter: TEXT, key: TEXT };
const PREPARE = { ...KEY, parent: TEXT, labels: LABELS };
const MOUNTS = { mounts: { rule: 'repeated', type: 'Mount' } };
const INFO = { info: { type: 'Info' } };
const LIST = { rule: 'repeated', type: 'string' };

/** Fields are numbered in the order in which they stand here, from 1. */
const MESSAGES: Record<string, Record<string, object>> = {
  PrepareRequest: PREPARE,
  ViewRequest: PREPARE,
  PrepareResponse: MOUNTS,
  ViewResponse: MOUNTS,
  MountsRequest: KEY,
  MountsResponse: MOUNTS,
  CommitRequest: { snapshotter: TEXT, name: TEXT, key: TEXT, labels: LABELS, parent: TEXT },
  CommitResponse: {},
  RemoveRequest: KEY,
  RemoveResponse: {},
  StatRequest: KEY,
  StatResponse: INFO,
  UpdateRequest: { snapshotter: TEXT, ...INFO, update_mask: { type: 'FieldMask' } },
  UpdateResponse: INFO,
  ListRequest: { snapshotter: TEXT, filters: LIST },
  ListResponse: { info: { rule: 'repeated', type: 'Info' } },
  UsageRequest: KEY,
  UsageResponse: { size: NUMBER, inodes: NUMBER },
  CleanupRequest: { snapshotter: TEXT },
  CleanupResponse: {},
  Mount: { type: TEXT, source: TEXT, target: TEXT, options: LIST },
  Info: {
    ...{ name: TEXT, parent: TEXT, kind: { type: 'int32' } },
    ...{ created_at: { type: 'Timestamp' }, updated_at: { type: 'Timestamp' }, labels: LABELS },
  },
  /** google.protobuf.Timestamp and google.protobuf.FieldMask. */
  Timestamp: { seconds: NUMBER, nanos: { type: 'int32' } },
  FieldMask: { paths: LIST },
};

/** The enumeration Kind. */
export const KIND = { view: 1, active: 2, committed: 3 } as const;

export type LabelMap = Readonly<Record<string, string>>;

export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

export interface Info {
  readonly name: string;
  readonly parent: string;
  readonly kind: number;
  readonly created_at: Timestamp | null;
  readonly updated_at: Timestamp | null;
  readonly labels: LabelMap;
}

interface OfKey {
  readonly key: string;
}

interface ToPrepare extends OfKey {
  readonly parent: string;
  readonly labels: LabelMap;
}

/** A call: what it is asked with, and answered. What a message lacks is '', 0, [], {} or null. */
interface Call<Request, Response> {
  readonly request: Request;
  readonly response: Response;
}

/** The calls. List is answered by a stream of its response. */
export interface Calls {
  Prepare: Call<ToPrepare, { mounts: Mount[] }>;
  View: Call<ToPrepare, { mounts: Mount[] }>;
  Mounts: Call<OfKey, { mounts: Mount[] }>;
  Commit: Call<{ name: string; key: string; labels: LabelMap; parent: string }, object>;
  Remove: Call<OfKey, object>;
  Stat: Call<OfKey, { info: Info }>;
  Update: Call<{ info: Info | null; update_mask: { paths: string[] } | null }, { info: Info }>;
  List: Call<{ filters: string[] }, { info: Info[] }>;
  Usage: Call<OfKey, { size: number; inodes: number }>;
  Cleanup: Call<object, object>;
}

/** The calls that are answered by a stream. */
export const STREAMED: ReadonlySet<keyof Calls> = new Set(['List']);

/** The service as protobuf.js takes it (its JSON descriptor), for the methods `names`. */
export function descriptor(names: readonly (keyof Calls)[]) {
  const methods = names.map(name => [
    name,
    {
      requestType: `${name}Request`,
      responseType: `${name}Response`,
      ...(STREAMED.has(name) ? { responseStream: true } : {}),
    },
  ]);
  const messages = Object.entries(MESSAGES).map(([name, fields]) => [name, { fields: numbered(fields) }]);
  const packages = SERVICE.split('.');
  const service = packages.pop()!;
  let nested = {
    ...Object.fromEntries(messages),
    [service]: { methods: Object.fromEntries(methods) },
  };
  for (const name of packages.reverse()) nested = { [name]: { nested } };
  return { nested };
}

function numbered(fields: Record<string, object>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, field], index) => [name, { ...field, id: index + 1 }]),
  );
}
