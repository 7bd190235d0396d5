// TypeScript sources as the structure test sees them: lines, imports, string literals, functions. Parsed with the
// TypeScript compiler, so comments and look-alikes do not count.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** The top of the checkout. */
export const top = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** Path from the top, such as src/union/index.ts. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  readonly tree: ts.SourceFile;
  readonly imports: readonly Import[];
  readonly literals: readonly string[];
  readonly functions: readonly { name: string; lines: number }[];
}

export interface Import {
  readonly specifier: string;
  /** The imported file from the top, or null for a package or a node: module. */
  readonly target: string | null;
  readonly typeOnly: boolean;
}

/** Files below `folder` (from the top) whose names end in one of `endings`, sorted. */
export function filesBelow(folder: string, ...endings: string[]): string[] {
  const entries = readdirSync(join(top, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter(entry => entry.isFile() && endings.some(ending => entry.name.endsWith(ending)))
    .map(entry => relative(top, join(entry.parentPath, entry.name)))
    .sort();
}

export function textOf(path: string): string {
  return readFileSync(join(top, path), 'utf8');
}

export function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

/** Parses one file. */
export function parseSource(path: string, text = textOf(path)): SourceFile {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true, ts.ScriptKind.TS);
  const imports: Import[] = [];
  const literals: string[] = [];
  const functions: { name: string; lines: number }[] = [];
  const visit = (node: ts.Node): void => {
    const specifier = specifierOf(node);
    if (specifier !== null) imports.push(toImport(path, specifier, isTypeOnly(node)));
    if (ts.isStringLiteralLike(node) || isTemplatePart(node)) literals.push(node.text);
    if (ts.isRegularExpressionLiteral(node)) literals.push(node.text.replaceAll('\\', ''));
    if (ts.isFunctionLike(node) && 'body' in node && node.body) functions.push(measure(tree, node));
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return { path, text, lines: lineCount(text), tree, imports, literals, functions };
}

function isTemplatePart(node: ts.Node): node is ts.TemplateHead | ts.TemplateMiddle | ts.TemplateTail {
  return ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node);
}

/** What `node` imports: import and export declarations, import(), and new URL('./x.js', import.meta.url) for workers. */
function specifierOf(node: ts.Node): string | null {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
    return literalText(node.moduleSpecifier);
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
    return literalText(node.argument.literal);
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    return literalText(node.arguments[0]);
  }
  if (ts.isNewExpression(node) && node.expression.getText() === 'URL') {
    const url = literalText(node.arguments?.[0]);
    return url?.endsWith('.js') ? url : null;
  }
  return null;
}

function literalText(node: ts.Node | undefined): string | null {
  return node && ts.isStringLiteralLike(node) ? node.text : null;
}

function isTypeOnly(node: ts.Node): boolean {
  if (ts.isImportTypeNode(node)) return true;
  if (ts.isExportDeclaration(node)) return node.isTypeOnly;
  return ts.isImportDeclaration(node) && node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

function toImport(from: string, specifier: string, typeOnly: boolean): Import {
  const target = specifier.startsWith('.')
    ? normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts')
    : null;
  return { specifier, target, typeOnly };
}

function measure(tree: ts.SourceFile, node: ts.SignatureDeclaration): { name: string; lines: number } {
  const first = tree.getLineAndCharacterOfPosition(node.getStart()).line;
  const last = tree.getLineAndCharacterOfPosition(node.end).line;
  return { name: `${node.name?.getText() ?? 'a function'} at line ${first + 1}`, lines: last - first + 1 };
}
