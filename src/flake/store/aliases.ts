import { sql, type Kysely } from 'kysely';

import { resolveAlias } from '../quarantine.js';
import type { Schema } from './schema.js';

/** Key in `meta` of the aliases that the tests carry now. */
const KEY = 'aliases';

/** The same text for the same aliases, whatever their order. */
export function aliasText(aliases: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(aliases).sort(([left], [right]) => (left < right ? -1 : 1)));
}

export async function readAliasText(db: Kysely<Schema>): Promise<string> {
  const row = await db.selectFrom('meta').select('value').where('key', '=', KEY).executeTakeFirst();
  return row?.value ?? aliasText({});
}

/**
 * Points each renamed test at the test it is now, in every repository and package; nothing is moved, so an alias that is
 * taken back leaves no trace. Call inside a transaction. Aliases that lead in a circle are left out.
 */
export async function applyAliases(db: Kysely<Schema>, aliases: Readonly<Record<string, string>>): Promise<void> {
  await sql`UPDATE test SET alias_of = NULL WHERE alias_of IS NOT NULL`.execute(db);
  for (const old of Object.keys(aliases)) {
    const name = resolveAlias(old, aliases);
    if (name === undefined || name === old) continue;
    if (old.endsWith('*') && name.endsWith('*')) await applyPrefix(db, old.slice(0, -1), name.slice(0, -1));
    else await applyName(db, old, name);
  }
  await sql`INSERT INTO meta (key, value) VALUES (${KEY}, ${aliasText(aliases)})
    ON CONFLICT (key) DO UPDATE SET value = excluded.value`.execute(db);
}

async function applyName(db: Kysely<Schema>, old: string, name: string): Promise<void> {
  await sql`INSERT INTO test (repository_id, package, name)
    SELECT repository_id, package, ${name} FROM test WHERE name = ${old}
    ON CONFLICT (repository_id, package, name) DO NOTHING`.execute(db);
  await sql`UPDATE test SET alias_of = (
      SELECT other.id FROM test other
      WHERE other.repository_id = test.repository_id AND other.package = test.package AND other.name = ${name})
    WHERE name = ${old}`.execute(db);
}

async function applyPrefix(db: Kysely<Schema>, old: string, prefix: string): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    SELECT DISTINCT name FROM test WHERE substr(name, 1, ${old.length}) = ${old}`.execute(db);
  for (const { name } of rows) await applyName(db, name, prefix + name.slice(old.length));
}
