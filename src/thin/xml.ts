// XML as a stream of events: start and end of elements, and comments, each with its line. Well-formedness is sax's
// business (strict mode); what the elements mean is the reader's.
import type { QualifiedTag, SAXParser, Tag } from 'sax';
import { E, SysError } from '../base/index.js';

export type XmlEvent =
  | {
      readonly kind: 'start';
      readonly line: number;
      readonly name: string;
      readonly attributes: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'end'; readonly line: number; readonly name: string }
  | { readonly kind: 'comment'; readonly line: number; readonly text: string };

/** SysError EINVAL about a line of the text. */
export function xmlError(line: number, rule: string): SysError {
  return new SysError(E.EINVAL, `line ${line}: ${rule}`);
}

/** The events of a text, in batches as the pieces of the text come. SysError EINVAL names the line that is no XML. */
export async function* xmlEvents(source: AsyncIterable<Uint8Array>): AsyncGenerator<XmlEvent[]> {
  // Loaded when needed: most commands read no XML.
  const { default: library } = await import('sax');
  const sax = library.parser(true, { position: true });
  let events: XmlEvent[] = [];
  listen(sax, event => events.push(event));
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch {
      throw xmlError(sax.line + 1, 'this is no UTF-8, so no XML');
    }
  };
  for await (const bytes of source) {
    sax.write(decode(bytes));
    yield events;
    events = [];
  }
  sax.write(decode()).close();
  yield events;
}

function listen(sax: SAXParser, push: (event: XmlEvent) => void): void {
  let begun = false;
  sax.onerror = error => {
    throw xmlError(sax.line + 1, error.message.split('\n')[0]!.replace(/\.?$/, ''));
  };
  sax.ondoctype = () => {
    throw xmlError(sax.line + 1, 'a document type is not allowed here');
  };
  sax.ontext = text => {
    if (text.trim() !== '')
      throw xmlError(sax.line + 1, `text that belongs to nothing: ${text.trim().slice(0, 40)}`);
  };
  sax.oncdata = () => {
    throw xmlError(sax.line + 1, 'text that belongs to nothing');
  };
  sax.onopentag = (tag: Tag | QualifiedTag) => {
    begun = true;
    const attributes = tag.attributes as Record<string, string>;
    push({ kind: 'start', line: sax.line + 1, name: tag.name, attributes });
  };
  sax.onclosetag = name => push({ kind: 'end', line: sax.line + 1, name });
  sax.oncomment = text => push({ kind: 'comment', line: sax.line + 1, text });
  sax.onend = () => {
    if (!begun) throw xmlError(sax.line + 1, 'there is no element at all');
  };
}
