import { z } from 'zod';

import { configSchema } from './schema.js';

type SchemaNode = Readonly<Record<string, unknown>>;

/** `docs/reference/configuration.md`: every key with type, default and meaning, from the schema. */
export function renderConfigReference(): string {
  const rows: string[] = [];
  visit(z.toJSONSchema(configSchema, { io: 'input' }), '', rows);
  return [
    '# mk-ci.yaml, key by key',
    '',
    'Generated from `src/config/schema.ts` by `npm run generate`; do not edit.',
    '',
    '| Key | Type | Default | Meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function visit(node: SchemaNode, path: string, rows: string[]): void {
  const required = new Set(listOf(node['required']).map(String));
  for (const [key, child] of Object.entries(recordOf(node['properties']))) {
    const schema = recordOf(child);
    const at = path === '' ? key : `${path}.${key}`;
    const fallback =
      'default' in schema ? `\`${JSON.stringify(schema['default'])}\`` : required.has(key) ? 'required' : '';
    rows.push(
      `| \`${at}\` | ${escapeCell(typeOf(schema))} | ${escapeCell(fallback)} | ${escapeCell(textOf(schema['description']))} |`,
    );
    visit(schema, at, rows);
    const items = recordOf(schema['items']);
    if ('properties' in items) visit(items, `${at}[]`, rows);
  }
}

function typeOf(schema: SchemaNode): string {
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => `\`${String(value)}\``).join(', ');
  if ('const' in schema) return `\`${String(schema['const'])}\``;
  if (Array.isArray(schema['anyOf'])) {
    // "one or a list of them" is the only union in the file; say it in words.
    const [first, second] = schema['anyOf'].map(recordOf);
    if (first && second?.['type'] === 'array') return `${typeOf(first)}, or a list`;
    return schema['anyOf'].map((branch) => typeOf(recordOf(branch))).join(' or ');
  }
  if (schema['type'] === 'array') {
    const item = typeOf(recordOf(schema['items']));
    return item === '' ? 'list' : `list of ${item}`;
  }
  const word =
    { object: 'map', string: 'text', integer: 'whole number' }[textOf(schema['type'])] ?? textOf(schema['type']);
  return `${word}${boundsOf(schema)}`;
}

function boundsOf(schema: SchemaNode): string {
  const low = schema['minimum'];
  const high = schema['maximum'];
  return typeof low === 'number' && typeof high === 'number' ? ` ${low}…${high}` : '';
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function recordOf(value: unknown): SchemaNode {
  return typeof value === 'object' && value !== null ? (value as SchemaNode) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
