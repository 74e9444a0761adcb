import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { isMkCiError, messageOf } from '../../errors.js';
import { lastLines, type Exec } from '../../exec.js';
import type { BundleProgram } from './bundle.js';
import { COMPONENTS } from './catalogue.js';
import { goEnvironment } from './go-build.js';
import { hashFile } from './hash-file.js';
import { buildLabels } from './orphans.js';
import type { ProgramSource, SourceContext } from './source.js';

/**
 * Programs that mk-ci has the source of itself, because no project publishes them: `pause`, first process of every pod.
 * It holds the pod's namespaces open, reaps orphans of a shared process namespace, and ends with SIGINT or SIGTERM.
 */

const PAUSE_C = `#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, NULL, WNOHANG) > 0); }

int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "-v") == 0) return puts("pause " VERSION) < 0;
  struct sigaction action = { .sa_handler = leave };
  if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0) return 1;
  action.sa_handler = reap;
  action.sa_flags = SA_NOCLDSTOP;
  if (sigaction(SIGCHLD, &action, NULL) != 0) return 1;
  for (;;) pause();
}
`;

const PAUSE_GO = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

var version string

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		fmt.Println("pause", version)
		return
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
	}
}
`;

const COMPILE_TIMEOUT_MS = 5 * 60_000;

export interface OwnSourceOptions {
  readonly exec: Exec;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Architecture of this host, as Node says it: a C compiler makes programs for it alone. @default process.arch */
  readonly hostArch?: string;
}

/** Compiles mk-ci's own programs, and says nothing of others: with a C compiler (0.8 MB, 0.2 MB of memory for each pod), else with Go (1.5 MB, 2 MB). */
export function createOwnSource({ exec, env, hostArch = process.arch }: OwnSourceOptions): ProgramSource {
  return {
    name: 'own programs',
    obtain: async (programs, context) => {
      const reasons = new Map<BundleProgram, string>();
      for (const program of programs) {
        const version = COMPONENTS[program.component].versionFor(context.kubernetesVersion);
        if (program.name !== 'pause') continue;
        const startedAt = performance.now();
        const made = await compilePause(version.replace(/^v/, ''), { exec, env, hostArch }, context);
        if ('reason' in made) {
          reasons.set(program.name, made.reason);
          continue;
        }
        const facts = await hashFile(made.path, context.signal);
        const source = { kind: 'go', location: `mk-ci own source, ${made.compiler}` } as const;
        await context.keep({ program, version, path: made.path, ...facts, source });
        const message = `compiled with ${made.compiler}`;
        const durationMs = performance.now() - startedAt;
        context.onStep({ name: `pause ${version}`, state: 'ok', durationMs, message });
      }
      return reasons;
    },
  };
}

async function compilePause(
  number: string,
  { exec, env, hostArch }: Required<OwnSourceOptions>,
  { workFolder, platform, signal }: SourceContext,
): Promise<{ path: string; compiler: string } | { reason: string }> {
  const path = join(workFolder, 'pause');
  await writeFile(join(workFolder, 'pause.c'), PAUSE_C);
  await writeFile(join(workFolder, 'pause.go'), PAUSE_GO);
  const compileC = [
    'gcc',
    '-Os',
    '-s',
    '-static',
    '-Wl,--build-id=none',
    `-DVERSION="${number}"`,
    '-o',
    path,
    'pause.c',
  ];
  const ldflags = `-s -w -X main.version=${number}`;
  const compileGo = ['go', 'build', '-trimpath', '-buildvcs=false', '-ldflags', ldflags, '-o', path, 'pause.go'];
  const isHost = hostArch === (platform.arch === 'amd64' ? 'x64' : platform.arch);
  const reasons: string[] = [];
  for (const argv of isHost ? [compileC, compileGo] : [compileGo]) {
    const [compiler = ''] = argv;
    try {
      const result = await exec([compiler, ...argv.slice(1)], {
        cwd: workFolder,
        env: goEnvironment(env, platform),
        timeoutMs: COMPILE_TIMEOUT_MS,
        allowFailure: true,
        labels: buildLabels(),
        signal,
      });
      if (result.exitCode === 0) return { path, compiler };
      reasons.push(`${compiler}: ${lastLines(result.stderr, 1).join('')}`);
    } catch (error) {
      if (!isMkCiError(error, 'HOST_MISSING_TOOL')) throw error;
      reasons.push(messageOf(error));
    }
  }
  return { reason: reasons.join('; ') };
}
