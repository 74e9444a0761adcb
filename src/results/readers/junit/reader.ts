import { MkCiError } from '../../../errors.js';
import type { Failure, Status, TestId } from '../../model.js';
import type { CreateReader, Emit, Reader, ReaderOptions } from '../../reader.js';
import { BoundedText, joinFailures, makeFailure } from '../document/failure.js';
import { LineCutter } from '../document/lines.js';
import { cleanName } from '../document/names.js';
import { RepairNotes } from '../document/repairs.js';
import { XmlParser, type XmlHandler } from '../document/xml.js';
import {
  addTally,
  caseFacts,
  claimOf,
  disagreement,
  emptyTally,
  timeOf,
  type Attributes,
  type CaseFacts,
  type Claim,
  type Tally,
} from './attributes.js';

/**
 * Reads JUnit XML in its dialects: Surefire with reruns, pytest, Jest, Playwright, Bazel, Ginkgo, kubetest2, nextest,
 * googletest and whatever else writes `<testcase>`.
 *
 * - A test is (`classname`, `name`); without a classname the names of the suites around it, joined by `/`, take its place.
 * - The result of a case is `<failure>`, else `<error>`, else `<skipped>`, else passed; what attributes count is only
 *   compared (`attributes-disagree`). googletest's `status="notrun"` is skipped, as it documents; other values of
 *   `status` decide nothing, but `disabled` is said (`disabled-counted-as-passed`).
 * - `flakyFailure`, `flakyError`, `rerunFailure`, `rerunError` are attempts of their own; so is a repeated testcase.
 * - A `<failure>` or `<error>` directly in a suite is the package's.
 * - pytest-rerunfailures writes an empty case for each failure that it ran again, as if it had passed: in a suite `pytest` an
 *   empty case before one of the same test has failed (`rerun-without-result`), pytest runs nothing again that passed.
 *
 * @see {@link https://maven.apache.org/surefire/maven-surefire-plugin/xsd/surefire-test-report-3.0.xsd} for the reruns
 * @see {@link https://github.com/testmoapp/junitxml} for the dialects
 */
export const createJunitReader: CreateReader = (emit, options) => new JunitReader(emit, options);

/** A suite that is open. */
interface Suite {
  readonly path: string;
  readonly claim: Claim;
  readonly durationMs: number | undefined;
  readonly own: Tally;
  readonly all: Tally;
  readonly failures: Failure[];
  hasError: boolean;
  /** A case directly in it has the suite's path as its package. */
  isPackage: boolean;
}

/** A case that is open. */
interface Case {
  readonly facts: CaseFacts;
  /** An attempt was started and not ended. */
  isOpen: boolean;
  readonly failures: Failure[];
  readonly errors: Failure[];
  /** From the first `<failure>`. */
  status: Status | undefined;
  /** From the first `<error>`; a failure goes before it. */
  errorStatus: Status | undefined;
  skipReason: string | undefined;
  isSkipped: boolean;
  /** The result of the case itself was sent, because reruns follow it. */
  isSettled: boolean;
  reruns: number;
}

/** An element with a message that is being read. */
interface Result {
  readonly element: string;
  readonly attributes: Attributes;
  readonly text: BoundedText;
}

const RESULTS = new Set(['failure', 'error', 'skipped', 'flakyFailure', 'flakyError', 'rerunFailure', 'rerunError']);

class JunitReader implements Reader, XmlHandler {
  readonly format = 'junit';
  readonly #emit: Emit;
  readonly #unfinished: Status;
  readonly #xml: XmlParser;
  readonly #repairs = new RepairNotes();
  readonly #suites: Suite[] = [];
  /** A case of pytest without a result, ended when the next case is known. */
  #held: Case | undefined;
  #case: Case | undefined;
  #result: Result | undefined;
  #output: LineCutter | undefined;
  #property: string | undefined;
  #propertyText = new BoundedText();
  #isTruncated = false;
  #sawReport = false;

  constructor(emit: Emit, options: ReaderOptions = {}) {
    this.#emit = emit;
    this.#unfinished = options.timedOut === true ? 'timedout' : 'notrun';
    this.#xml = new XmlParser(this);
  }

  write(piece: string): void {
    this.#xml.write(piece);
  }

  end(): void {
    this.#settleHeld(undefined);
    // Closing what a cut left open must not look like an end that was read.
    const repairs = this.#repairs;
    this.#xml.end();
    repairs.emitAll(this.#emit);
    if (!this.#sawReport) {
      throw new MkCiError('RES_MALFORMED', { message: 'no <testsuites>, <testsuite> or <testcase> in this JUnit XML' });
    }
  }

  irregular(kind: 'malformed-xml' | 'dtd-ignored' | 'truncated', message: string, line: number): void {
    if (kind === 'truncated') this.#isTruncated = true;
    this.#repairs.add(kind, message, { line, ...(this.#case === undefined ? {} : { test: this.#case.facts.test }) });
  }

  open(name: string, attributes: Attributes, line: number): void {
    // Elements inside a message, such as Surefire's <stackTrace>, give their text to it.
    if (this.#result !== undefined && name !== 'system-out' && name !== 'system-err') return;
    switch (name) {
      case 'testsuites':
        this.#sawReport = true;
        return;
      case 'testsuite':
        this.#sawReport = true;
        this.#openSuite(attributes);
        return;
      case 'testcase':
        this.#sawReport = true;
        this.#openCase(attributes, line);
        return;
      case 'system-out':
      case 'system-err':
        this.#output = this.#createOutput(name === 'system-out' ? 'stdout' : 'stderr');
        return;
      case 'property':
        this.#property = attributes.get('name');
        this.#propertyText = new BoundedText();
        this.#propertyText.add(attributes.get('value') ?? '');
        return;
      default:
        if (RESULTS.has(name)) this.#result = { element: name, attributes, text: new BoundedText() };
    }
  }

  text(piece: string): void {
    if (this.#output !== undefined) this.#output.write(piece);
    else if (this.#result !== undefined) this.#result.text.add(piece);
    else if (this.#property !== undefined) this.#propertyText.add(piece);
  }

  close(name: string): void {
    if (name === 'system-out' || name === 'system-err') {
      this.#output?.end();
      this.#output = undefined;
      return;
    }
    if (this.#result !== undefined) {
      if (name === this.#result.element) this.#closeResult(this.#result);
      return;
    }
    if (name === 'testcase') this.#closeCase();
    else if (name === 'testsuite') this.#closeSuite();
    else if (name === 'property') this.#closeProperty();
  }

  #openSuite(attributes: Attributes): void {
    const outer = this.#suites.at(-1)?.path ?? '';
    const name = cleanName(attributes.get('name') ?? '');
    const time = timeOf(attributes);
    this.#suites.push({
      path: outer === '' || name === '' ? outer + name : `${outer}/${name}`,
      claim: claimOf(attributes),
      durationMs: time === 'negative' ? undefined : time,
      own: emptyTally(),
      all: emptyTally(),
      failures: [],
      hasError: false,
      isPackage: false,
    });
  }

  #openCase(attributes: Attributes, line: number): void {
    // Never seen in a real file, but a broken one may nest them.
    if (this.#case !== undefined) this.#closeCase();
    const facts = caseFacts(attributes, this.#suites.at(-1)?.path ?? '');
    const { test } = facts;
    this.#settleHeld(test);
    if (facts.time === 'negative') this.#repairs.add('negative-time', 'a negative time is ignored', { line, test });
    if (test.name === '(unnamed)') this.#repairs.add('unnamed-test', 'a test case has no name', { line, test });
    this.#case = {
      facts,
      isOpen: false,
      failures: [],
      errors: [],
      status: undefined,
      errorStatus: undefined,
      skipReason: undefined,
      isSkipped: false,
      isSettled: false,
      reruns: 0,
    };
    this.#startAttempt(this.#case);
    for (const [key, value] of facts.others) this.#emit({ type: 'attribute', test, key: cleanName(key), value });
  }

  #startAttempt(testCase: Case): void {
    if (testCase.isOpen) return;
    testCase.isOpen = true;
    const { test, at, file, line } = testCase.facts;
    const isFirst = testCase.reruns === 0;
    this.#emit({
      type: 'test-started',
      test,
      ...(at === undefined || !isFirst ? {} : { at }),
      ...(file === undefined ? {} : { file }),
      ...(line === undefined ? {} : { line }),
    });
  }

  #closeResult(result: Result): void {
    this.#result = undefined;
    const suite = this.#suites.at(-1);
    const failure = failureOf(result);
    if (this.#case === undefined) {
      if (suite === undefined || result.element === 'skipped') return;
      suite.failures.push(failure);
      const isError = result.element === 'error';
      suite.hasError ||= isError;
      if (isError) suite.own.extraErrors += 1;
      else suite.own.extraFailures += 1;
      return;
    }
    const testCase = this.#case;
    switch (result.element) {
      case 'failure':
        testCase.failures.push(failure);
        testCase.status ??= statusOf(result, 'failed');
        return;
      case 'error':
        testCase.errors.push(failure);
        testCase.errorStatus ??= statusOf(result, 'error');
        return;
      case 'skipped':
        testCase.isSkipped = true;
        testCase.skipReason = skipReasonOf(result);
        return;
      default: {
        const isFlaky = result.element.startsWith('flaky');
        // Surefire writes the first failure, then the reruns after it; flaky attempts come before the pass.
        if (!isFlaky) this.#settle(testCase);
        this.#startAttempt(testCase);
        testCase.reruns += 1;
        const status = statusOf(result, result.element.endsWith('Error') ? 'error' : 'failed');
        this.#endAttempt(testCase, status, failure, timeOf(result.attributes));
      }
    }
  }

  /** Sends the case's own result, once, when it has one. */
  #settle(testCase: Case): void {
    const failures = testCase.failures.length > 0 ? testCase.failures : testCase.errors;
    if (testCase.isSettled || failures.length === 0) return;
    testCase.isSettled = true;
    this.#startAttempt(testCase);
    const failure = joinFailures([...testCase.failures, ...testCase.errors]);
    this.#endAttempt(testCase, testCase.status ?? testCase.errorStatus ?? 'failed', failure, testCase.facts.time);
  }

  #endAttempt(
    testCase: Case,
    status: Status,
    failure?: Failure,
    time?: number | 'negative',
    skipReason?: string,
  ): void {
    testCase.isOpen = false;
    this.#emit({
      type: 'test-ended',
      test: testCase.facts.test,
      status,
      ...(typeof time === 'number' ? { durationMs: time } : {}),
      ...(failure === undefined ? {} : { failure }),
      ...(skipReason === undefined ? {} : { skipReason }),
    });
  }

  #closeCase(): void {
    const testCase = this.#case;
    if (testCase === undefined) return;
    this.#case = undefined;
    this.#settle(testCase);
    const { facts } = testCase;
    if (!testCase.isSettled) {
      const onlyReruns = testCase.reruns > 0 && !testCase.isOpen && this.#isTruncated;
      if (testCase.isSkipped || facts.status === 'notrun') {
        this.#startAttempt(testCase);
        this.#endAttempt(testCase, 'skipped', undefined, facts.time, testCase.skipReason);
      } else if (this.#isTruncated) {
        // The file broke off inside this case: that no failure was seen does not mean that it passed.
        if (!onlyReruns) this.#endAttempt(testCase, this.#unfinished);
      } else {
        this.#startAttempt(testCase);
        if (this.#suites.at(-1)?.path === 'pytest' && testCase.reruns === 0) this.#held = testCase;
        else this.#endAttempt(testCase, 'passed', undefined, facts.time);
        if (facts.status === 'disabled') {
          this.#repairs.add('disabled-counted-as-passed', 'status="disabled" without <skipped> counts as passed', {
            test: facts.test,
          });
        }
      }
    }
    this.#count(testCase);
  }

  /** Ends a case of pytest that seems to have passed, now that the next one is known. */
  #settleHeld(next: TestId | undefined): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    const { test, time } = held.facts;
    if (next?.name !== test.name || next.package !== test.package) {
      this.#endAttempt(held, 'passed', undefined, time);
      return;
    }
    this.#endAttempt(
      held,
      'failed',
      { message: 'failed and was run again; pytest does not say why', kind: 'other' },
      time,
    );
    this.#repairs.add('rerun-without-result', 'an empty case of pytest before another of the same test failed', {
      test,
    });
    const suite = this.#suites.at(-1);
    if (suite === undefined) return;
    suite.own.cases -= 1;
    suite.own.reruns += 1;
  }

  #count(testCase: Case): void {
    const suite = this.#suites.at(-1);
    if (suite === undefined) return;
    const { own } = suite;
    own.cases += 1;
    if (testCase.failures.length > 0) own.failed += 1;
    else if (testCase.errors.length > 0) own.errors += 1;
    else if (testCase.isSkipped || testCase.facts.status === 'notrun') own.skipped += 1;
    own.extraFailures += Math.max(0, testCase.failures.length - 1) + testCase.reruns;
    own.extraErrors += Math.max(0, testCase.errors.length - 1);
    own.reruns += testCase.reruns;
    suite.isPackage ||= testCase.facts.test.package === suite.path;
  }

  #closeSuite(): void {
    this.#settleHeld(undefined);
    const suite = this.#suites.pop();
    if (suite === undefined) return;
    addTally(suite.all, suite.own);
    const outer = this.#suites.at(-1);
    if (outer !== undefined) addTally(outer.all, suite.all);
    if (!this.#isTruncated) {
      const message = disagreement(suite.claim, suite.own, suite.all);
      if (message !== undefined) this.#repairs.add('attributes-disagree', `suite "${suite.path}": ${message}`);
    }
    if (!suite.isPackage && suite.failures.length === 0) return;
    const failure = joinFailures(suite.failures);
    this.#emit({
      type: 'package-ended',
      package: suite.path,
      status: this.#suiteStatus(suite),
      ...(suite.durationMs === undefined ? {} : { durationMs: suite.durationMs }),
      ...(failure === undefined ? {} : { failure }),
    });
  }

  #suiteStatus(suite: Suite): Status {
    if (suite.hasError) return 'error';
    if (suite.failures.length > 0 || suite.own.failed > 0) return 'failed';
    if (suite.own.errors > 0) return 'error';
    if (this.#isTruncated) return this.#unfinished;
    return suite.own.cases > 0 && suite.own.skipped === suite.own.cases ? 'skipped' : 'passed';
  }

  #closeProperty(): void {
    const key = this.#property;
    this.#property = undefined;
    // Properties of a suite are the machine's (Surefire lists all of Java's); there is no place for them in the model.
    if (key === undefined || key === '' || this.#case === undefined) return;
    this.#emit({
      type: 'attribute',
      test: this.#case.facts.test,
      key: cleanName(key),
      value: this.#propertyText.toString(),
    });
  }

  #createOutput(stream: 'stdout' | 'stderr'): LineCutter {
    const testCase = this.#case;
    if (testCase !== undefined && !testCase.isSettled) this.#startAttempt(testCase);
    const owner: { readonly test?: TestId; readonly package?: string } =
      testCase !== undefined
        ? { test: testCase.facts.test }
        : this.#suites.length > 0
          ? { package: this.#suites.at(-1)?.path ?? '' }
          : {};
    return new LineCutter((text, partial) => {
      this.#emit({ type: 'output', ...owner, stream, text, ...(partial ? { partial } : {}) });
    });
  }
}

function failureOf({ attributes, text }: Result): Failure {
  const type = attributes.get('type');
  const kind = FAILURE_KINDS.find((word) => word === type);
  return makeFailure({ message: attributes.get('message'), text: text.toString(), type, kind });
}

const FAILURE_KINDS = ['assertion', 'panic', 'race', 'timeout', 'build', 'setup', 'exit', 'other'] as const;

/** Our own writer puts the statuses that JUnit does not know into `type`. */
function statusOf({ attributes }: Result, usual: Status): Status {
  const type = attributes.get('type');
  return type === 'mk-ci.timedout' ? 'timedout' : type === 'mk-ci.notrun' ? 'notrun' : usual;
}

function skipReasonOf({ attributes, text }: Result): string | undefined {
  const reason = (attributes.get('message') || text.toString()).trim();
  return reason === '' ? undefined : reason.slice(0, 1000);
}
