import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { cutAt, eventsOf, readAll } from '../read-all.js';
import { createNunitReader, createTrxReader, createXunitReader } from './index.js';
import { sniffNunit, sniffTrx, sniffXunit } from './sniff.js';

// Written after the published descriptions of the formats: no .NET is installed here to record real ones.
const XUNIT = `<?xml version="1.0"?><assemblies><assembly name="C:\\x\\Tests.dll" run-date="2026-11-21"><errors>
  <error type="assembly-fixture" name="Fx"><failure exception-type="E"><message><![CDATA[fixture died]]></message></failure></error></errors>
  <collection name="c"><test name="Ns.A.Ok(x: 1)" type="Ns.A" method="Ok" time="0.25" result="Pass"><traits><trait name="Cat" value="fast"/></traits><output>one
two</output></test>
  <test name="Ns.A.Bad" type="Ns.A" result="Fail" time="1,5"><failure exception-type="Xunit.Sdk.EqualException"><message>Assert.Equal() Failure</message><stack-trace>at Ns.A.Bad() in A.cs:12</stack-trace></failure></test>
  <test name="Ns.A.Left" type="Ns.A" result="Skip"><reason>no net</reason></test></collection></assembly></assemblies>`;
const NUNIT3 = `<test-run id="2"><test-suite type="TestFixture" fullname="Ns.B" result="Failed"><failure><message>OneTimeSetUp: boom</message></failure>
  <test-case name="Ok" fullname="Ns.B.Ok" classname="Ns.B" result="Passed" duration="0.5" start-time="2026-11-21 10:00:00Z"/>
  <test-case name="Bad" classname="Ns.B" result="Failed"><failure><message>Expected: 1</message><stack-trace>at B.cs:3</stack-trace></failure></test-case>
  <test-case name="Err" classname="Ns.B" result="Failed" label="Error"/><test-case name="Stop" classname="Ns.B" result="Failed" label="Cancelled"/>
  <test-case name="Skip" classname="Ns.B" result="Skipped" label="Ignored"><reason><message>later</message></reason></test-case></test-suite>
  <test-suite type="Assembly" name="x"><failure><message>One or more child tests had errors</message></failure></test-suite></test-run>`;
const NUNIT2 = `<test-results name="x"><test-suite><results><test-case name="Ns.C.Ok(1.5)" executed="True" result="Success" time="0.1"/>
  <test-case name="Ns.C.Bad" executed="True" result="Failure"><failure><message>no</message></failure></test-case>
  <test-case name="Ns.C.Ign" executed="False" result="Ignored"/></results></test-suite></test-results>`;
const TRX = `<TestRun xmlns="http://microsoft.com/schemas/VisualStudio/TeamTest/2010"><Results>
  <UnitTestResult testId="1" testName="Ns.D.Ok" duration="00:00:01.5000000" outcome="Passed" startTime="2026-11-21T10:00:00.1234567+00:00"><Output><StdOut>hi</StdOut></Output></UnitTestResult>
  <UnitTestResult testId="2" testName="Bad" outcome="Failed"><Output><ErrorInfo><Message>no</Message><StackTrace>at D.cs:line 7</StackTrace></ErrorInfo></Output></UnitTestResult>
  <UnitTestResult testId="2" testName="Slow" outcome="Timeout"/><UnitTestResult testId="2" testName="Left" outcome="NotExecuted"/>
  <UnitTestResult testId="3" testName="Rows" outcome="Failed"><InnerResults><UnitTestResult testId="3" testName="Rows (1)" outcome="Passed"/></InnerResults></UnitTestResult></Results>
  <TestDefinitions><UnitTest id="1"><TestMethod className="Ns.D"/></UnitTest><UnitTest id="2"><TestMethod className="Ns.D, Asm, Version=1"/></UnitTest></TestDefinitions>
  <ResultSummary><RunInfos><RunInfo outcome="Error"><Text>host crashed</Text></RunInfo></RunInfos></ResultSummary></TestRun>`;

describe('readers of .NET formats', () => {
  it('read xUnit', () => {
    const { statuses, packages, tests, events, sound } = readAll(createXunitReader, XUNIT);
    expect(sound).toBe(true);
    expect(statuses).toEqual({ 'Ns.A Ok(x: 1)': ['passed'], 'Ns.A Bad': ['failed'], 'Ns.A Left': ['skipped'] });
    expect(packages).toMatchObject([{ package: 'Tests.dll', status: 'error', failure: { message: 'fixture died' } }]);
    expect(tests[0]).toMatchObject({ attributes: { Cat: 'fast' }, attempts: [{ durationMs: 250 }] });
    expect(tests[1]!.attempts[0]!).toMatchObject({
      durationMs: 1500,
      failure: { kind: 'assertion', file: 'A.cs', line: 12 },
    });
    expect(events.filter(({ type }) => type === 'output')).toHaveLength(2);
  });

  it('read NUnit 3 and 2', () => {
    const three = readAll(createNunitReader, NUNIT3);
    expect(three.statuses).toEqual({
      'Ns.B Ok': ['passed'],
      'Ns.B Bad': ['failed'],
      'Ns.B Err': ['error'],
      'Ns.B Stop': ['notrun'],
      'Ns.B Skip': ['skipped'],
    });
    expect(three.packages).toMatchObject([
      { package: 'Ns.B', status: 'error', failure: { message: 'OneTimeSetUp: boom' } },
    ]);
    expect(three.tests[0]!.attempts[0]).toMatchObject({ startedAt: '2026-11-21T10:00:00.000Z', durationMs: 500 });
    expect(readAll(createNunitReader, NUNIT2).statuses).toEqual({
      'Ns.C Ok(1.5)': ['passed'],
      'Ns.C Bad': ['failed'],
      'Ns.C Ign': ['skipped'],
    });
  });

  it('read TRX with the classes that stand after the results', () => {
    const { statuses, packages, tests } = readAll(createTrxReader, TRX);
    expect(statuses).toEqual({
      'Ns.D Ok': ['passed'],
      'Ns.D Bad': ['failed'],
      'Ns.D Slow': ['timedout'],
      'Ns.D Left': ['skipped'],
      'Rows (1)': ['passed'],
    });
    expect(tests[0]!.attempts[0]).toMatchObject({ durationMs: 1500, startedAt: '2026-11-21T10:00:00.123Z' });
    expect(packages).toMatchObject([{ package: '', status: 'error', failure: { message: 'host crashed' } }]);
  });

  it('keep what came before a cut, refuse other roots, and read the same however the input is split', () => {
    for (const [create, text] of [
      [createXunitReader, XUNIT],
      [createNunitReader, NUNIT3],
      [createTrxReader, TRX],
    ] as const) {
      expect(() => eventsOf(create, ['<html/>'])).toThrow(/<html>/);
      fc.assert(
        fc.property(fc.nat(), fc.array(fc.nat(), { maxLength: 5 }), (cut, cuts) => {
          const part = text.slice(0, 120 + (cut % (text.length - 120)));
          const { sound, repairs } = readAll(create, part);
          expect(sound).toBe(true);
          expect(repairs.some(({ kind }) => kind === 'truncated')).toBe(true);
          expect(eventsOf(create, cutAt(part, cuts))).toEqual(eventsOf(create, [part]));
        }),
      );
    }
  });

  it('are recognised by their root elements', () => {
    expect(
      [sniffXunit(XUNIT), sniffNunit(NUNIT3), sniffNunit(NUNIT2), sniffTrx(TRX)].every((score) => score > 0.9),
    ).toBe(true);
    expect([sniffXunit(TRX), sniffNunit(XUNIT), sniffTrx(NUNIT2)]).toEqual([0, 0, 0]);
  });
});
