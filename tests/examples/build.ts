/** A build in a clean guest: sources go in, the artifact comes out, and nothing else has changed here. */
import { Vm } from "@dinovisor/dinovisor";

const directory = await Deno.makeTempDir();
try {
  await Deno.mkdir(`${directory}/src/parts`, { recursive: true });
  await Deno.writeTextFile(`${directory}/src/parts/1`, "one\n");
  await Deno.writeTextFile(`${directory}/src/parts/2`, "two\n");
  const build = "#!/bin/sh\nmkdir out && cat parts/* | gzip > out/all.gz && echo built\n";
  await Deno.writeTextFile(`${directory}/src/build`, build, { mode: 0o755 });

  await using vm = await Vm.boot();
  await vm.fs.upload(`${directory}/src`, "/tmp/src");
  (await vm.output("./build", [], { cwd: "/tmp/src", stdout: "inherit" })).check();
  await vm.fs.download("/tmp/src/out", `${directory}/out`);
  const artifact = (await Deno.open(`${directory}/out/all.gz`)).readable
    .pipeThrough(new DecompressionStream("gzip"));
  console.log((await new Response(artifact).text()).trim().split("\n").join(" "));
} finally {
  await Deno.remove(directory, { recursive: true });
}
