import { sql, type Kysely } from 'kysely';

import { isByTest, narrowed, testsNamed } from './filters.js';
import type { Schema } from './schema.js';
import type { Filter, SeriesName } from './store.js';

export interface NamedSeries extends SeriesName {
  readonly seriesId: number;
  readonly isRenamed: boolean;
}

/** By ascending id. Joined here: tests and environments are few, and a database would look both up for every series. */
export async function readNames(db: Kysely<Schema>, filter: Filter): Promise<NamedSeries[]> {
  const tests = await testsNamed(db, filter)
    .select([
      sql<boolean | number>`own_test.alias_of is not null`.as('isRenamed'),
      'repository.name as repository',
      'test.package as package',
      'test.name as test',
    ])
    .execute();
  const environments = await narrowed(db.selectFrom('environment'), [['environment.name', filter.environment]])
    .select(['id', 'name'])
    .execute();
  const series = await db
    .selectFrom('series')
    .$if(isByTest(filter), (query) => query.where('test_id', 'in', testsNamed(db, filter)))
    .select(['id', 'test_id', 'environment_id'])
    .orderBy('id')
    .execute();
  const testOf = new Map(tests.map((test) => [test.id, test]));
  const environmentOf = new Map(environments.map(({ id, name }) => [id, name]));
  return series.flatMap(({ id, test_id, environment_id }) => {
    const found = testOf.get(test_id);
    const environment = environmentOf.get(environment_id);
    if (found === undefined || environment === undefined) return [];
    const { repository, package: pkg, test, isRenamed } = found;
    return [{ seriesId: id, repository, environment, package: pkg, test, isRenamed: Boolean(isRenamed) }];
  });
}
