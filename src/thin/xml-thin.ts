// What the elements of thin_dump's XML mean: checks their order and attributes, and tells a sink what they say. SysError
// EINVAL names the line and the rule. A `def` keeps its mappings until the end, for each `ref` to it.
import type { Run } from './reader.js';
import { type XmlEvent, xmlError } from './xml.js';
import {
  type AttributeName,
  ELEMENTS,
  type ElementName,
  type Note,
  OPTIONAL,
  readNote,
} from './xml-format.js';

/** Attributes of an element that are numbers; an optional one may be missing. */
export type Numbers = Readonly<Partial<Record<AttributeName, number>>>;

/** Learns what the XML says, in its order; `line` is for messages. */
export interface ThinSink {
  superblock(numbers: Numbers, line: number): void | Promise<void>;
  device(numbers: Numbers, line: number): void;
  mapping(run: Run, line: number): void;
  note(note: Note, line: number): void;
  endDevice(line: number): void;
  end(): void;
}

const CHILDREN: Readonly<Record<ElementName | '', readonly string[]>> = {
  '': ['superblock'],
  superblock: ['def', 'device'],
  def: ['single_mapping', 'range_mapping'],
  device: ['single_mapping', 'range_mapping', 'ref'],
  single_mapping: [],
  range_mapping: [],
  ref: [],
};
const TEXTS: ReadonlySet<string> = new Set(['uuid', 'name']);

export class ThinXml {
  private readonly path: ElementName[] = [];
  private readonly shared = new Map<string, Run[]>();
  private def: Run[] | null = null;
  private begun = false;

  constructor(private readonly sink: ThinSink) {}

  /** Takes the next event; a promise must be waited for. */
  take(event: XmlEvent): void | Promise<void> {
    if (event.kind === 'start') return this.start(event.name, event.attributes, event.line);
    if (event.kind === 'end') return this.end(event.line);
    const note = readNote(event.text);
    if (note !== null) this.sink.note(note, event.line);
  }

  private start(
    name: string,
    attributes: Readonly<Record<string, string>>,
    line: number,
  ): void | Promise<void> {
    const inside = this.path.at(-1) ?? '';
    if (!CHILDREN[inside].includes(name) || (inside === '' && this.begun)) {
      const where = inside === '' ? 'here' : `in <${inside}>`;
      throw xmlError(line, `<${name}> is not allowed ${where}`);
    }
    this.begun = true;
    const element = name as ElementName;
    this.path.push(element);
    const numbers = numbersOf(element, attributes, line);
    if (element === 'superblock') return this.sink.superblock(numbers, line);
    if (element === 'device') this.sink.device(numbers, line);
    else if (element === 'def') this.define(attributes.name!, line);
    else if (element === 'ref') this.refer(attributes.name!, line);
    else this.mapping(runOf(numbers), line);
  }

  private end(line: number): void {
    const name = this.path.pop();
    if (name === 'device') this.sink.endDevice(line);
    if (name === 'superblock') this.sink.end();
    if (name === 'def') this.def = null;
  }

  private mapping(run: Run, line: number): void {
    if (this.def === null) this.sink.mapping(run, line);
    else this.def.push(run);
  }

  private define(name: string, line: number): void {
    if (this.shared.has(name)) throw xmlError(line, `there are two <def> with the name ${name}`);
    this.def = [];
    this.shared.set(name, this.def);
  }

  private refer(name: string, line: number): void {
    const runs = this.shared.get(name);
    if (runs === undefined) throw xmlError(line, `<ref> to ${name}, and no <def> before has that name`);
    for (const run of runs) this.sink.mapping(run, line);
  }
}

function runOf(numbers: Numbers): Run {
  return {
    begin: (numbers.origin_block ?? numbers.origin_begin)!,
    block: (numbers.data_block ?? numbers.data_begin)!,
    length: numbers.length ?? 1,
    time: numbers.time!,
  };
}

function numbersOf(
  element: ElementName,
  attributes: Readonly<Record<string, string>>,
  line: number,
): Partial<Record<AttributeName, number>> {
  const known: readonly AttributeName[] = ELEMENTS[element];
  const numbers: Partial<Record<AttributeName, number>> = {};
  let found = 0;
  for (const name of known) {
    const text = attributes[name];
    if (text === undefined) {
      if (OPTIONAL.has(name)) continue;
      throw xmlError(line, `<${element}> has no attribute ${name}`);
    }
    found++;
    if (TEXTS.has(name)) continue;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value))
      throw xmlError(line, `${name}="${text}" is no whole number, or too large`);
    numbers[name] = value;
  }
  if (found === Object.keys(attributes).length) return numbers;
  const unknown = Object.keys(attributes).find(name => !(known as readonly string[]).includes(name));
  throw xmlError(line, `<${element}> has no attribute ${unknown} in thin_dump's format`);
}
