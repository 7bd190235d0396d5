// The options of the handshake: one row each. What a row answers goes out as option replies; an option without a row is
// answered with ERR_UNSUP.
import { type BlockDevice, E, isErrno } from '../base/index.js';
import { errorText } from './errors.js';
import { findExport, type NbdExport } from './export.js';
import { counted, EXPORT_PADDING_BYTES, exportBytes, infoData, optionReply, u32 } from './layout.js';
import {
  ALLOCATION,
  CAN,
  INFO,
  MAX_PAYLOAD,
  MAX_TEXT,
  MIN_BLOCK,
  OPTION,
  PREFERRED_BLOCK,
  REPLY,
} from './protocol.js';

/** What has been agreed on so far. */
export interface Agreement {
  /** The answer to EXPORT_NAME goes without its padding. */
  noZeroes: boolean;
  structured: boolean;
  /** The export whose base:allocation context the client wants, by the name it used. */
  context: string | null;
}

/** What an option may use. */
export interface Negotiation extends Agreement {
  readonly exports: readonly NbdExport[];
  send(message: Buffer): void;
}

/** A device was opened: to `enter` transmission with it, or only to be described. */
export interface Opened {
  readonly device: BlockDevice;
  readonly enter: boolean;
}

/** What comes after the option: the next one, the end of the connection, or transmission. */
export type Outcome = 'next' | 'close' | Opened;

interface Option {
  readonly name: string;
  run(negotiation: Negotiation, data: Buffer, option: number): Outcome;
}

const EMPTY = Buffer.alloc(0);

export const OPTIONS: ReadonlyMap<number, Option> = new Map<number, Option>([
  [OPTION.EXPORT_NAME, { name: 'EXPORT_NAME', run: exportName }],
  [OPTION.ABORT, { name: 'ABORT', run: abort }],
  [OPTION.LIST, { name: 'LIST', run: list }],
  [OPTION.STARTTLS, { name: 'STARTTLS', run: startTls }],
  [OPTION.INFO, { name: 'INFO', run: info }],
  [OPTION.GO, { name: 'GO', run: info }],
  [OPTION.STRUCTURED_REPLY, { name: 'STRUCTURED_REPLY', run: structuredReply }],
  [OPTION.LIST_META_CONTEXT, { name: 'LIST_META_CONTEXT', run: metaContext }],
  [OPTION.SET_META_CONTEXT, { name: 'SET_META_CONTEXT', run: metaContext }],
]);

/** Answers an option with an error and a text for people. */
export function refuse(n: Negotiation, option: number, type: number, text: string): 'next' {
  n.send(optionReply(option, type, Buffer.from(text).subarray(0, MAX_TEXT)));
  return 'next';
}

function acknowledge(n: Negotiation, option: number): 'next' {
  n.send(optionReply(option, REPLY.ACK, EMPTY));
  return 'next';
}

/** Transmission flags of a device. */
export function capabilities(device: BlockDevice, structured: boolean): number {
  const always = CAN.HAS_FLAGS | CAN.FLUSH | CAN.FUA | CAN.MULTI_CONN | CAN.CACHE;
  const access = device.readOnly ? CAN.READ_ONLY : CAN.TRIM | CAN.WRITE_ZEROES | CAN.FAST_ZERO;
  return always | access | (structured ? CAN.DF : 0);
}

/** This option cannot be answered with an error: an unknown name ends the connection. */
function exportName(n: Negotiation, data: Buffer): Outcome {
  const found = findExport(n.exports, data.toString());
  if (found === undefined) return 'close';
  const device = found.open();
  keepContext(n, data.toString());
  n.send(exportBytes(device.size, capabilities(device, n.structured)));
  if (!n.noZeroes) n.send(Buffer.alloc(EXPORT_PADDING_BYTES));
  return { device, enter: true };
}

function abort(n: Negotiation, _data: Buffer, option: number): Outcome {
  acknowledge(n, option);
  return 'close';
}

function list(n: Negotiation, data: Buffer, option: number): Outcome {
  if (data.length > 0) return refuse(n, option, REPLY.ERR_INVALID, 'LIST takes no data');
  for (const { name, description } of n.exports) {
    n.send(optionReply(option, REPLY.SERVER, Buffer.concat([counted(name), Buffer.from(description)])));
  }
  return acknowledge(n, option);
}

function startTls(n: Negotiation, _data: Buffer, option: number): Outcome {
  return refuse(n, option, REPLY.ERR_POLICY, 'this server does not offer TLS');
}

function structuredReply(n: Negotiation, data: Buffer, option: number): Outcome {
  if (data.length > 0) return refuse(n, option, REPLY.ERR_INVALID, 'STRUCTURED_REPLY takes no data');
  n.structured = true;
  return acknowledge(n, option);
}

/** Reads the parts of an option's data; `bad` when they do not fit it. */
class Parts {
  bad = false;
  private at = 0;
  constructor(private readonly data: Buffer) {}

  u16(): number {
    return this.take(2)?.readUInt16BE(0) ?? 0;
  }

  u32(): number {
    return this.take(4)?.readUInt32BE(0) ?? 0;
  }

  text(): string {
    const length = this.u32();
    if (length > MAX_TEXT) this.bad = true;
    return this.take(length)?.toString() ?? '';
  }

  /** Nothing is left over, nothing was missing. */
  get ended(): boolean {
    return !this.bad && this.at === this.data.length;
  }

  private take(length: number): Buffer | undefined {
    if (this.bad || this.at + length > this.data.length) {
      this.bad = true;
      return undefined;
    }
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }
}

function info(n: Negotiation, data: Buffer, option: number): Outcome {
  const parts = new Parts(data);
  const name = parts.text();
  const asked = new Set<number>();
  for (let left = parts.u16(); left > 0 && !parts.bad; left--) asked.add(parts.u16());
  if (!parts.ended) return refuse(n, option, REPLY.ERR_INVALID, 'lengths that do not fit the option');
  const found = findExport(n.exports, name);
  if (found === undefined) return refuse(n, option, REPLY.ERR_UNKNOWN, `no export named '${name}'`);
  let device: BlockDevice;
  try {
    device = found.open();
  } catch (error) {
    const type = isErrno(error, E.ENOENT) ? REPLY.ERR_UNKNOWN : REPLY.ERR_PLATFORM;
    return refuse(n, option, type, errorText(error).toString());
  }
  describe(n, option, found, device, asked);
  acknowledge(n, option);
  const enter = option === OPTION.GO;
  if (enter) keepContext(n, name);
  return { device, enter };
}

function describe(
  n: Negotiation,
  option: number,
  found: NbdExport,
  device: BlockDevice,
  asked: Set<number>,
): void {
  const reply = (data: Buffer): void => n.send(optionReply(option, REPLY.INFO, data));
  reply(infoData(INFO.EXPORT, exportBytes(device.size, capabilities(device, n.structured))));
  if (asked.has(INFO.NAME)) reply(infoData(INFO.NAME, Buffer.from(found.name)));
  if (asked.has(INFO.DESCRIPTION) && found.description !== '') {
    reply(infoData(INFO.DESCRIPTION, Buffer.from(found.description)));
  }
  if (asked.has(INFO.BLOCK_SIZE)) {
    reply(infoData(INFO.BLOCK_SIZE, [MIN_BLOCK, PREFERRED_BLOCK, MAX_PAYLOAD]));
  }
}

/** A context that was set for another name than the one the client goes on with is none. */
function keepContext(n: Negotiation, name: string): void {
  if (n.context !== name) n.context = null;
}

function metaContext(n: Negotiation, data: Buffer, option: number): Outcome {
  const setting = option === OPTION.SET_META_CONTEXT;
  if (setting) n.context = null;
  const parts = new Parts(data);
  const name = parts.text();
  const count = parts.u32();
  let wanted = !setting && count === 0;
  for (let left = count; left > 0 && !parts.bad; left--) {
    const query = parts.text();
    if (query === ALLOCATION.NAME || (!setting && query === 'base:')) wanted = true;
  }
  if (!parts.ended) return refuse(n, option, REPLY.ERR_INVALID, 'lengths that do not fit the option');
  if (!n.structured) return refuse(n, option, REPLY.ERR_INVALID, 'needs STRUCTURED_REPLY first');
  if (findExport(n.exports, name) === undefined) {
    return refuse(n, option, REPLY.ERR_UNKNOWN, `no export named '${name}'`);
  }
  if (wanted) {
    const id = setting ? ALLOCATION.ID : 0;
    n.send(optionReply(option, REPLY.META_CONTEXT, Buffer.concat([u32(id), Buffer.from(ALLOCATION.NAME)])));
    if (setting) n.context = name;
  }
  return acknowledge(n, option);
}
