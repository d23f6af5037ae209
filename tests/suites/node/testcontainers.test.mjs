// What test suites of other projects do with Testcontainers for Node. Its npm package holds no tests.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";

import tar from "tar-stream";
import { DockerComposeEnvironment, GenericContainer, Network, PullPolicy, Wait } from "testcontainers";

const IMAGE = "busybox:latest";
const PATIENCE_MS = 300_000;
// Without -f, httpd goes to the background once it listens: "ready" is true then.
const SERVE = "mkdir -p /www; echo hello >/www/index.html; httpd -p 80 -h /www; echo ready; exec sleep 1000";

const box = () => new GenericContainer(IMAGE).withStartupTimeout(PATIENCE_MS);
const sleeper = () => box().withCommand(["sleep", "1000"]);
const server = () => box().withCommand(["sh", "-c", SERVE]).withExposedPorts(80);

/** It is stopped when the test ends. */
async function started(t, container) {
  const running = await container.start();
  t.after(() => running.stop({ timeout: 0 }));
  return running;
}

const output = async (running, ...words) => (await running.exec(words)).output;
const page = async (running) =>
  (await fetch(`http://${running.getHost()}:${running.getMappedPort(80)}/`)).text();

async function scratch(files) {
  const folder = await mkdtemp(join(tmpdir(), "testcontainers-"));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

test("a container starts and runs without a health check", async (t) => {
  const running = await started(t, sleeper());
  assert.match(await output(running, "echo", "hello"), /hello/);
});

test("waiting for listening ports", async (t) => {
  assert.equal(await page(await started(t, server())), "hello\n");
});

test("waiting for a line of the log", async (t) => {
  const running = await started(t, server().withWaitStrategy(Wait.forLogMessage("ready")));
  assert.equal(await page(running), "hello\n");
});

test("waiting for an answer over HTTP", async (t) => {
  const strategy = Wait.forHttp("/index.html", 80).forStatusCode(200);
  assert.equal(await page(await started(t, server().withWaitStrategy(strategy))), "hello\n");
});

test("waiting for a health check", async (t) => {
  const check = { test: ["CMD-SHELL", "test -e /www/index.html"], interval: 500, timeout: 30_000, retries: 100 };
  await started(t, server().withHealthCheck(check).withWaitStrategy(Wait.forHealthCheck()));
});

test("waiting for a command's success", async (t) => {
  await started(t, server().withWaitStrategy(Wait.forSuccessfulCommand("test -e /www/index.html")));
});

test("waiting for the end of a container that does one thing", async (t) => {
  const once = box().withCommand(["true"]).withWaitStrategy(Wait.forOneShotStartup());
  await started(t, once);
  const bad = box().withCommand(["false"]).withWaitStrategy(Wait.forOneShotStartup());
  await assert.rejects(bad.start());
});

test("all of several conditions", async (t) => {
  const all = [Wait.forListeningPorts(), Wait.forLogMessage("ready")];
  await started(t, server().withWaitStrategy(Wait.forAll(all).withStartupTimeout(PATIENCE_MS)));
});

test("exec: both outputs, exit code, user, folder and environment", async (t) => {
  const running = await started(t, sleeper());
  const told = await running.exec(["sh", "-c", "echo out; echo err >&2; exit 5"]);
  assert.deepEqual([told.exitCode, told.stdout, told.stderr], [5, "out\n", "err\n"]);
  const options = { user: "1000", workingDir: "/var/log", env: { A: "b" } };
  const as = await running.exec(["sh", "-c", 'echo "$(id -u) $(pwd) $A"'], options);
  assert.equal(as.stdout, "1000 /var/log b\n");
});

test("environment, entrypoint, user, folder, labels, host name", async (t) => {
  const container = box().withEntrypoint(["sh", "-c"]).withCommand(['echo "$A $(id -u) $(pwd) $(hostname)"; exec sleep 1000'])
    .withEnvironment({ A: "b" }).withUser("1000").withWorkingDir("/var/log").withHostname("called").withLabels({ one: "1" })
    .withWaitStrategy(Wait.forLogMessage("b 1000 /var/log called"));
  const running = await started(t, container);
  assert.equal(running.getLabels().one, "1");
});

test("logs: read, and given to a consumer", async (t) => {
  const consumed = new PassThrough();
  const container = server().withWaitStrategy(Wait.forLogMessage("ready"));
  const running = await started(t, container.withLogConsumer((stream) => stream.pipe(consumed)));
  const [line] = await once(consumed, "data");
  assert.equal(line.toString(), "ready\n");
  const [again] = await once(await running.logs({ tail: 1 }), "data");
  assert.equal(again.toString(), "ready\n");
});

test("files into a container: content, a file, a directory; before and after the start", async (t) => {
  const folder = await scratch({ "f.txt": "from a file" });
  const container = sleeper()
    .withCopyContentToContainer([{ content: "from memory", target: "/tmp/m.txt", mode: 0o640 }])
    .withCopyFilesToContainer([{ source: join(folder, "f.txt"), target: "/tmp/f.txt" }])
    .withCopyDirectoriesToContainer([{ source: folder, target: "/tmp/d" }]);
  const running = await started(t, container);
  const read = await output(running, "cat", "/tmp/m.txt", "/tmp/f.txt", "/tmp/d/f.txt");
  assert.equal(read, "from memoryfrom a filefrom a file");
  assert.match(await output(running, "stat", "-c", "%a", "/tmp/m.txt"), /640/);
  await running.copyContentToContainer([{ content: "later", target: "/tmp/l.txt" }]);
  assert.equal(await output(running, "cat", "/tmp/l.txt"), "later");
});

test("an archive out of a running and a stopped container", async () => {
  const running = await box().withCommand(["sh", "-c", "echo made >/made; echo ready; exec sleep 1000"])
    .withAutoRemove(false).withWaitStrategy(Wait.forLogMessage("ready")).start();
  const read = async (stream) => {
    const found = [];
    const extract = tar.extract();
    stream.pipe(extract);
    for await (const entry of extract) for await (const piece of entry) found.push(piece.toString());
    return found.join("");
  };
  assert.equal(await read(await running.copyArchiveFromContainer("/made")), "made\n");
  const stopped = await running.stop({ remove: false, timeout: 0 });
  assert.equal(await read(await stopped.copyArchiveFromContainer("/made")), "made\n");
});

test("bind mounts and tmpfs", async (t) => {
  const folder = await scratch({ "f.txt": "host" });
  const mounts = [{ source: folder, target: "/mnt", mode: "rw" }];
  const running = await started(t, sleeper().withBindMounts(mounts).withTmpFs({ "/scratch": "rw,size=1m" }));
  assert.equal(await output(running, "cat", "/mnt/f.txt"), "host");
  await running.exec(["sh", "-c", "echo guest >/mnt/g.txt"]);
  assert.equal(await readFile(join(folder, "g.txt"), "utf8"), "guest\n");
  assert.match(await output(running, "mount"), / \/scratch type tmpfs/);
});

test("a network of their own: aliases, addresses, two containers", async (t) => {
  const network = await new Network().start();
  t.after(() => network.stop());
  const web = await started(t, server().withNetwork(network).withNetworkAliases("web"));
  const user = await started(t, sleeper().withNetwork(network).withExtraHosts([{ host: "other", ipAddress: "10.1.2.3" }]));
  assert.equal(await output(user, "wget", "-qO-", "http://web/"), "hello\n");
  assert.match(web.getIpAddress(network.getName()), /^\d+\.\d+\.\d+\.\d+$/);
  assert.match(await output(user, "cat", "/etc/hosts"), /10\.1\.2\.3\s+other/);
  await user.stop({ timeout: 0 });
  await web.stop({ timeout: 0 });
});

test("restart: the port is found again", async (t) => {
  const running = await started(t, server());
  await running.restart({ timeout: 0 });
  assert.equal(await page(running), "hello\n");
});

test("commit and start of the image that was made", async (t) => {
  const running = await started(t, sleeper());
  await running.exec(["sh", "-c", "echo kept >/kept"]);
  const image = await running.commit({ repo: "committed-by-tc", tag: "one", deleteOnExit: false });
  const again = await started(t, new GenericContainer(image).withCommand(["sleep", "1000"]).withStartupTimeout(PATIENCE_MS));
  assert.equal(await output(again, "cat", "/kept"), "kept\n");
});

test("reuse finds the same container", async (t) => {
  const wanted = () => sleeper().withLabels({ reused: "yes" }).withReuse();
  const first = await started(t, wanted());
  assert.equal((await wanted().start()).getId(), first.getId());
});

test("limits, capabilities, ulimits, shared memory", async (t) => {
  const container = sleeper().withResourcesQuota({ memory: 0.25, cpu: 1 }).withUlimits({ nofile: { hard: 2000, soft: 1000 } })
    .withAddedCapabilities("NET_ADMIN").withDroppedCapabilities("CHOWN").withSharedMemorySize(16 * 1024 * 1024);
  const running = await started(t, container);
  assert.equal(await output(running, "sh", "-c", "ulimit -n"), "1000\n");
  assert.match(await output(running, "df", "-k", "/dev/shm"), /16384/);
});

test("privileged, and an image that is always pulled", async (t) => {
  const running = await started(t, sleeper().withPrivilegedMode().withPullPolicy(PullPolicy.alwaysPull()));
  const script = "mkdir /m && mount -t tmpfs none /m && grep -c ' /m tmpfs' /proc/mounts";
  assert.equal(await output(running, "sh", "-c", script), "1\n");
});

test("a Compose project", async (t) => {
  const folder = await scratch({
    "compose.yaml": `
services:
  web:
    image: ${IMAGE}
    command: ["sh", "-c", "${SERVE}"]
    ports: ["80"]
  user:
    image: ${IMAGE}
    command: ["sleep", "1000"]
    depends_on: [web]
`,
  });
  const environment = await new DockerComposeEnvironment(folder, "compose.yaml").withStartupTimeout(PATIENCE_MS)
    .withWaitStrategy("web-1", Wait.forLogMessage("ready")).up();
  t.after(() => environment.down({ timeout: 0 }));
  assert.equal(await page(environment.getContainer("web-1")), "hello\n");
  assert.equal(await output(environment.getContainer("user-1"), "wget", "-qO-", "http://web/"), "hello\n");
});
