// Everyday calls of dockerode, the client below Testcontainers and many tools. Its npm package holds no tests.

import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { before, test } from "node:test";

import Docker from "dockerode";
import tar from "tar-stream";

const IMAGE = "busybox:latest";
const docker = new Docker();

async function text(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

/** Both outputs of a multiplexed stream, to its end. */
async function outputs(stream) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, stdout, stderr);
  const ended = () => (stdout.end(), stderr.end());
  stream.on("end", ended).on("close", ended);
  return Promise.all([text(stdout), text(stderr)]);
}

/** A container that is removed when the test ends. */
async function container(t, options) {
  const made = await docker.createContainer({ Image: IMAGE, ...options });
  t.after(() => made.remove({ force: true, v: true }).catch((error) => assert.equal(error.statusCode, 404)));
  return made;
}

async function sleeper(t, options = {}) {
  const made = await container(t, { Cmd: ["sleep", "1000"], ...options });
  await made.start();
  return made;
}

async function shell(made, script) {
  const exec = await made.exec({ Cmd: ["sh", "-c", script], AttachStdout: true, AttachStderr: true });
  const [stdout] = await outputs(await exec.start({}));
  return { stdout, code: (await exec.inspect()).ExitCode };
}

function archive(files) {
  const pack = tar.pack();
  for (const [name, content] of Object.entries(files)) pack.entry({ name }, content);
  pack.finalize();
  return pack;
}

async function entries(stream) {
  const found = {};
  const extract = tar.extract();
  stream.pipe(extract);
  for await (const entry of extract) found[entry.header.name] = await text(entry);
  return found;
}

const status = (code) => (error) => (assert.equal(error.statusCode, code), true);

before(async () => {
  const progress = await docker.pull(IMAGE);
  const said = await new Promise((resolve, reject) =>
    docker.modem.followProgress(progress, (error, lines) => (error ? reject(error) : resolve(lines))),
  );
  assert.match(said.at(-1).status, /^Status: (Downloaded newer image|Image is up to date)/);
});

test("the daemon: ping, version, info, disk usage", async () => {
  assert.equal((await docker.ping()).toString(), "OK");
  const version = await docker.version();
  assert.ok(version.ApiVersion && version.MinAPIVersion);
  const info = await docker.info();
  assert.equal(info.OSType, "linux");
  assert.ok((await docker.df()).Images.length >= 1);
});

test("an older version of the API in the path", async () => {
  const older = new Docker({ version: "v1.41" });
  const [image] = await older.listImages({ filters: { reference: [IMAGE] } });
  assert.ok(image.VirtualSize > 0);
});

test("run: output and exit code", async () => {
  const output = new PassThrough();
  const said = text(output);
  const [result, made] = await docker.run(IMAGE, ["sh", "-c", "echo out; exit 3"], output, { Tty: true });
  output.end();
  assert.equal(result.StatusCode, 3);
  assert.equal(await said, "out\r\n");
  await made.remove();
});

test("attach before the start: both outputs, and what is written to stdin", async (t) => {
  const made = await container(t, {
    Cmd: ["sh", "-c", "read line; echo got $line; echo bad >&2"],
    OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
  });
  const stream = await made.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const both = outputs(stream);
  await made.start();
  stream.write("this\n");
  stream.end();
  assert.deepEqual(await both, ["got this\n", "bad\n"]);
  assert.equal((await made.wait()).StatusCode, 0);
});

test("inspect: what was asked for, and what an unset member is", async (t) => {
  const made = await container(t, {
    Cmd: ["true"], Env: ["A=b"], Labels: { one: "1" }, WorkingDir: "/var/log", User: "1000",
    HostConfig: { Memory: 128 * 1024 * 1024, RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } },
  });
  const told = await made.inspect();
  assert.ok(told.Config.Env.includes("A=b"));
  assert.equal(told.Config.Labels.one, "1");
  assert.equal(told.HostConfig.Memory, 128 * 1024 * 1024);
  assert.equal(told.HostConfig.RestartPolicy.MaximumRetryCount, 2);
  assert.equal(told.State.Status, "created");
  assert.equal(told.State.Health, undefined);
  assert.equal(told.Config.Healthcheck, undefined);
});

test("logs: whole, the tail, and followed", async (t) => {
  const made = await container(t, { Cmd: ["sh", "-c", "echo one; echo two >&2; echo three"] });
  await made.start();
  const followed = await outputs(await made.logs({ follow: true, stdout: true, stderr: true }));
  assert.deepEqual(followed, ["one\nthree\n", "two\n"]);
  await made.wait();
  const whole = await made.logs({ stdout: true, stderr: false });
  assert.equal(whole.subarray(8, 12).toString(), "one\n");
  const other = await container(t, { Cmd: ["sh", "-c", "echo one; echo two"] });
  await other.start();
  await other.wait();
  const tail = await other.logs({ stdout: true, stderr: true, tail: 1 });
  assert.equal(tail.subarray(8).toString(), "two\n");
});

test("exec: output, exit code, environment and input", async (t) => {
  const made = await sleeper(t);
  assert.deepEqual(await shell(made, "echo hi; exit 4"), { stdout: "hi\n", code: 4 });
  const exec = await made.exec({
    Cmd: ["sh", "-c", "cat; echo $X"], Env: ["X=y"], AttachStdin: true, AttachStdout: true, AttachStderr: true,
  });
  const stream = await exec.start({ hijack: true, stdin: true });
  const both = outputs(stream);
  stream.end("input\n");
  assert.deepEqual(await both, ["input\ny\n", ""]);
});

test("exec with a terminal, resized", async (t) => {
  const made = await sleeper(t);
  const exec = await made.exec({
    Cmd: ["sh", "-c", "read go; stty size"], Tty: true, AttachStdin: true, AttachStdout: true,
  });
  const stream = await exec.start({ hijack: true, stdin: true, Tty: true });
  await exec.resize({ h: 33, w: 77 });
  stream.write("go\n");
  assert.match(await text(stream), /33 77/);
});

test("pause, unpause, restart, rename, update, kill", async (t) => {
  const made = await sleeper(t);
  await made.pause();
  assert.equal((await made.inspect()).State.Paused, true);
  await made.unpause();
  const first = (await made.inspect()).State.StartedAt;
  await made.restart({ t: 0 });
  assert.notEqual((await made.inspect()).State.StartedAt, first);
  await made.rename({ name: "renamed-by-dockerode" });
  assert.equal((await docker.getContainer("renamed-by-dockerode").inspect()).Id, made.id);
  await made.update({ RestartPolicy: { Name: "always" } });
  await made.update({ RestartPolicy: { Name: "no" } });
  const ended = made.wait();
  await made.kill({ signal: "SIGKILL" });
  assert.equal((await ended).StatusCode, 137);
});

test("stop and start tell that nothing was to do by 304", async (t) => {
  const made = await sleeper(t);
  await assert.rejects(made.start(), status(304));
  await made.stop({ t: 0 });
  await assert.rejects(made.stop(), status(304));
});

test("errors have Docker's codes", async (t) => {
  await assert.rejects(docker.getContainer("nosuch").inspect(), status(404));
  await assert.rejects(docker.createContainer({ Image: "nosuch:1" }), status(404));
  await assert.rejects(docker.getVolume("nosuch").inspect(), status(404));
  await assert.rejects(docker.getNetwork("nosuch").inspect(), status(404));
  const made = await sleeper(t, { name: "taken-by-dockerode" });
  await assert.rejects(docker.createContainer({ Image: IMAGE, name: "taken-by-dockerode" }), status(409));
  await assert.rejects(made.remove(), status(409));
});

test("top, stats once, changes", async (t) => {
  const made = await sleeper(t);
  const top = await made.top();
  assert.ok(top.Processes.some((row) => row.at(-1).includes("sleep 1000")));
  const stats = await made.stats({ stream: false });
  assert.ok(stats.memory_stats.usage > 0);
  await shell(made, "echo new >/new");
  assert.ok((await made.changes()).some((one) => one.Path === "/new" && one.Kind === 1));
});

test("stats as a stream", async (t) => {
  const made = await sleeper(t);
  const stream = await made.stats();
  const [first] = await once(stream, "data");
  stream.destroy();
  assert.equal(JSON.parse(first).id, made.id);
});

test("archives: put, stat, get, export", async (t) => {
  const made = await sleeper(t);
  await made.putArchive(archive({ "a.txt": "content" }), { path: "/tmp" });
  assert.equal((await shell(made, "cat /tmp/a.txt")).stdout, "content");
  const answer = await made.infoArchive({ path: "/tmp/a.txt" });
  const told = JSON.parse(Buffer.from(answer.headers["x-docker-container-path-stat"], "base64"));
  assert.equal(told.name, "a.txt");
  assert.deepEqual(await entries(await made.getArchive({ path: "/tmp/a.txt" })), { "a.txt": "content" });
  assert.equal((await entries(await made.export()))["tmp/a.txt"], "content");
  await assert.rejects(made.getArchive({ path: "/nosuch" }), status(404));
});

test("commit, tag, history, save, load, remove", async (t) => {
  const made = await sleeper(t);
  await shell(made, "echo kept >/kept");
  const { Id } = await made.commit({ repo: "committed", tag: "one", comment: "why", changes: 'CMD ["cat", "/kept"]' });
  const image = docker.getImage(Id);
  await image.tag({ repo: "committed", tag: "two" });
  assert.equal((await image.history())[0].Comment, "why");
  const saved = Buffer.concat(await (await docker.getImage("committed:two").get()).toArray());
  await docker.getImage("committed:one").remove();
  await docker.getImage("committed:two").remove();
  await assert.rejects(image.inspect(), status(404));
  assert.match(await text(await docker.loadImage(saved)), /Loaded image: committed:two/);
  const output = new PassThrough();
  const said = text(output);
  const [result, again] = await docker.run("committed:two", [], output, { Tty: true });
  output.end();
  assert.deepEqual([result.StatusCode, await said], [0, "kept\r\n"]);
  await again.remove();
  await docker.getImage("committed:two").remove();
});

test("volumes: create, use, list, remove", async (t) => {
  const volume = await docker.createVolume({ Name: "by-dockerode", Labels: { of: "test" } });
  t.after(() => volume.remove());
  const write = await container(t, { Cmd: ["sh", "-c", "echo there >/v/f"], HostConfig: { Binds: ["by-dockerode:/v"] } });
  await write.start();
  await write.wait();
  const Mounts = [{ Type: "volume", Source: "by-dockerode", Target: "/w", ReadOnly: true }];
  const read = await container(t, { Cmd: ["cat", "/w/f"], HostConfig: { Mounts } });
  await read.start();
  await read.wait();
  assert.equal((await read.logs({ stdout: true })).subarray(8).toString(), "there\n");
  const { Volumes } = await docker.listVolumes({ filters: { label: ["of=test"] } });
  assert.deepEqual(Volumes.map((one) => one.Name), ["by-dockerode"]);
  await write.remove();
  await read.remove();
});

test("networks: create, connect with an alias, reach, disconnect, remove", async (t) => {
  const network = await docker.createNetwork({ Name: "by-dockerode", Driver: "bridge", CheckDuplicate: true });
  t.after(() => network.remove());
  const server = await sleeper(t);
  const user = await sleeper(t, { HostConfig: { NetworkMode: "by-dockerode" } });
  await network.connect({ Container: server.id, EndpointConfig: { Aliases: ["served"] } });
  assert.equal(Object.keys((await network.inspect()).Containers).length, 2);
  assert.equal((await shell(user, "ping -c1 -W5 served >/dev/null; echo $?")).stdout, "0\n");
  await network.disconnect({ Container: server.id });
  await user.remove({ force: true });
  assert.equal(Object.keys((await network.inspect()).Containers).length, 0);
});

test("a published port, found by inspect and by list", async (t) => {
  const made = await container(t, {
    Cmd: ["sh", "-c", "echo page >/tmp/index.html; httpd -p 80 -h /tmp; echo up; exec sleep 1000"],
    ExposedPorts: { "80/tcp": {} },
    HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } },
  });
  await made.start();
  const log = await made.logs({ follow: true, stdout: true });
  await once(log, "data");
  log.destroy();
  const port = (await made.inspect()).NetworkSettings.Ports["80/tcp"][0].HostPort;
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "page\n");
  const [told] = await docker.listContainers({ filters: { id: [made.id] } });
  assert.deepEqual(told.Ports.map((one) => [one.PrivatePort, one.PublicPort]), [[80, Number(port)]]);
});

test("events, as they come and of the past", async (t) => {
  const since = Math.floor(Date.now() / 1000);
  const stream = await docker.getEvents({ filters: { type: ["container"], label: ["seen=by-dockerode"] } });
  const made = await container(t, { Cmd: ["true"], Labels: { seen: "by-dockerode" } });
  await made.start();
  const seen = [];
  for await (const piece of stream) {
    seen.push(...piece.toString().trim().split("\n").map((line) => JSON.parse(line).Action));
    if (seen.includes("die")) break;
  }
  assert.deepEqual(seen.slice(0, 3), ["create", "start", "die"]);
  await made.wait();
  const filters = { container: [made.id], event: ["die"] };
  const past = await text(await docker.getEvents({ since, until: Math.ceil(Date.now() / 1000) + 1, filters }));
  assert.equal(past.trim().split("\n").length, 1);
});

test("a health check", async (t) => {
  const Healthcheck = { Test: ["CMD-SHELL", "test -e /well"], Interval: 200e6, Timeout: 30e9, Retries: 100 };
  const made = await sleeper(t, { Healthcheck });
  const filters = { container: [made.id], event: ["health_status: healthy"] };
  const stream = await docker.getEvents({ filters });
  await shell(made, "touch /well");
  await once(stream, "data");
  stream.destroy();
  assert.equal((await made.inspect()).State.Health.Status, "healthy");
});

test("prune takes what is not used", async (t) => {
  const made = await container(t, { Cmd: ["true"], Labels: { prune: "me" } });
  const told = await docker.pruneContainers({ filters: { label: ["prune=me"] } });
  assert.deepEqual(told.ContainersDeleted, [made.id]);
  await docker.createVolume({ Name: "unused-by-dockerode" });
  const volumes = await docker.pruneVolumes({ filters: { all: ["true"] } });
  assert.ok(volumes.VolumesDeleted.includes("unused-by-dockerode"));
});
