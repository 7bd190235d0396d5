// pax extended header records ("LENGTH KEY=VALUE\n"), both directions, byte for byte: values are latin1 strings, since
// xattr values and file names need not be UTF-8. Source: POSIX.1-2017 pax, "pax Extended Header"; xattrs as star,
// GNU tar and Go's archive/tar write them.
import { type ByteString, E, SysError } from '../base/index.js';
import type { Entry } from './entry.js';
import { fits } from './tar-block.js';

const XATTR = 'SCHILY.xattr.';
/** ACLs as text; GNU tar --acls and bsdtar write them beside or instead of the raw xattrs. */
const ACL_TEXT = 'SCHILY.acl.';
const SPARSE = 'GNU.sparse.';

/** Records of one extended header; an empty value takes back what the block or a global header said. */
export type PaxRecords = Map<ByteString, ByteString>;

/** One record; the length counts its own digits. */
function record(key: ByteString, value: ByteString): ByteString {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length++;
  return `${length} ${key}=${value}\n`;
}

export function encodePax(records: PaxRecords): Buffer {
  let text = '';
  for (const [key, value] of records) text += record(key, value);
  return Buffer.from(text, 'latin1');
}

/** The records of an extended header's data. Throws EBADMSG when it is malformed. */
export function decodePax(data: Buffer): PaxRecords {
  const text = data.toString('latin1');
  const records: PaxRecords = new Map();
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(' ', at);
    const digits = text.slice(at, space);
    const end = at + Number(digits);
    const equals = text.indexOf('=', space);
    const whole =
      space > at && /^[1-9][0-9]{0,9}$/.test(digits) && end <= text.length && text[end - 1] === '\n';
    if (!whole || equals < 0 || equals >= end) throw new SysError(E.EBADMSG, 'tar: malformed pax record');
    records.set(text.slice(space + 1, equals), text.slice(equals + 1, end - 1));
    at = end;
  }
  return records;
}

function isAscii(text: ByteString): boolean {
  return !/[\x80-\xff]/.test(text);
}

function isUtf8(text: ByteString): boolean {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes);
}

/** Seconds and nanoseconds as pax writes them: a decimal number, negative before 1970. */
export function encodeTime(seconds: number, nsec: number): string {
  if (nsec === 0) return String(seconds);
  const before = seconds < 0;
  const whole = before ? -seconds - 1 : seconds;
  const fraction = String(before ? 1e9 - nsec : nsec).padStart(9, '0');
  return `${before ? '-' : ''}${whole}.${fraction.replace(/0+$/, '')}`;
}

/** [seconds, nanoseconds]; digits past nine are cut off, towards the past. */
export function decodeTime(text: string): [number, number] {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw new SysError(E.EBADMSG, `tar: '${text}' is not a time`);
  const seconds = Number(match[2]);
  const nsec = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] === '') return [seconds, nsec];
  return nsec === 0 ? [0 - seconds, 0] : [-seconds - 1, 1e9 - nsec];
}

/** '=' cannot stand in a key; GNU tar writes it, and '%', in hexadecimal. */
function escapeName(name: ByteString): ByteString {
  return name.replaceAll('%', '%25').replaceAll('=', '%3D');
}

function unescapeName(name: ByteString): ByteString {
  return name.replaceAll('%3D', '=').replaceAll('%25', '%');
}

/** The records that an entry needs because its ustar block cannot say it all; empty for most. */
export function recordsFor(entry: Entry, name: ByteString): PaxRecords {
  const records: PaxRecords = new Map();
  const path = !fits.name(name) || (!isAscii(name) && isUtf8(name));
  const target = !fits.target(entry.target) || (!isAscii(entry.target) && isUtf8(entry.target));
  // pax values are UTF-8 by default; other bytes that the block cannot hold must be announced.
  if ((path && !isUtf8(name)) || (target && !isUtf8(entry.target))) records.set('hdrcharset', 'BINARY');
  if (path) records.set('path', name);
  if (target) records.set('linkpath', entry.target);
  if (!fits.id(entry.uid)) records.set('uid', String(entry.uid));
  if (!fits.id(entry.gid)) records.set('gid', String(entry.gid));
  if (!fits.size(entry.size)) records.set('size', String(entry.size));
  if (entry.mtimeNsec !== 0 || !fits.mtime(entry.mtime)) {
    records.set('mtime', encodeTime(entry.mtime, entry.mtimeNsec));
  }
  for (const name of [...entry.xattrs.keys()].sort()) {
    records.set(XATTR + escapeName(name), Buffer.from(entry.xattrs.get(name)!).toString('latin1'));
  }
  return records;
}

export function toNumber(key: string, text: ByteString): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new SysError(E.EBADMSG, `tar: pax ${key} '${text}' is not a number`);
  }
  return value;
}

/** What the records say of an entry: fields to put over the block's, and what cannot be honoured. */
export interface PaxFields {
  fields: Partial<Pick<Entry, 'path' | 'target' | 'uid' | 'gid' | 'size' | 'mtime' | 'mtimeNsec'>>;
  xattrs: Map<ByteString, Uint8Array>;
  /** What GNU tar says of a sparse member, without its prefix; empty for others. */
  sparse: PaxRecords;
  /** POSIX ACLs as text. */
  aclText: boolean;
}

export function fieldsOf(records: PaxRecords): PaxFields {
  const result: PaxFields = { fields: {}, xattrs: new Map(), sparse: new Map(), aclText: false };
  for (const [key, value] of records) {
    if (key.startsWith(XATTR)) {
      result.xattrs.set(unescapeName(key.slice(XATTR.length)), Buffer.from(value, 'latin1'));
    } else if (value !== '') setField(result, key, value);
  }
  return result;
}

function setField(result: PaxFields, key: ByteString, value: ByteString): void {
  const { fields } = result;
  if (key === 'path') fields.path = value;
  else if (key === 'linkpath') fields.target = value;
  else if (key === 'uid' || key === 'gid' || key === 'size') fields[key] = toNumber(key, value);
  else if (key === 'mtime') [fields.mtime, fields.mtimeNsec] = decodeTime(value);
  else if (key.startsWith(SPARSE)) result.sparse.set(key.slice(SPARSE.length), value);
  else if (key.startsWith(ACL_TEXT)) result.aclText = true;
}
