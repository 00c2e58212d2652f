// Tokens a second of llama.cpp through node-llama-cpp: all prompts at once, each a sequence of one context.
// node llama.mjs FOLDER FILE.gguf COUNT TOKENS THREADS PROMPTS
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [folder, file, count, tokens, threads, prompts] = process.argv.slice(2);
const entry = join(folder, "node_modules/node-llama-cpp/dist/index.js");
const { getLlama, LlamaChat, LlamaChatSession } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, maxThreads: Number(threads), build: "never" });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({
    sequences: Number(count), contextSize: 256, threads: Number(threads), batchSize: 2048,
});
const sessions = JSON.parse(prompts).map((text) => {
    const session = new LlamaChatSession({ contextSequence: context.getSequence() });
    return { session, text };
});
const started = process.hrtime.bigint(), used = process.cpuUsage();
let made = 0;
await Promise.all(sessions.map(({ session, text }) =>
    session.prompt(text, {
        maxTokens: Number(tokens), temperature: 0, onToken: (ids) => { made += ids.length; },
    })));
const wall = Number(process.hrtime.bigint() - started) / 1e9;
const work = process.cpuUsage(used);
console.log(JSON.stringify({ wall: made / wall, processor: made / ((work.user + work.system) / 1e6) }));
process.exit(0);
