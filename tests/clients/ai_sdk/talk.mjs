// A turn with a tool, a second turn and a structured output, by the AI SDK:
// `node talk.mjs <provider> <base URL> <model> <streamed>`.
// Prints one JSON object: what was said in each turn, the tool's calls, the reasoning, and the output.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenResponses } from "@ai-sdk/open-responses";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const [, , provider, base, name, streamed] = process.argv;
const apiKey = "any";
const model = {
  openai: () => createOpenAI({ baseURL: base, apiKey })(name),
  "openai chat": () => createOpenAI({ baseURL: base, apiKey }).chat(name),
  "open-responses": () => createOpenResponses({ name: "ccproxy", url: `${base}/responses`, apiKey })(name),
  anthropic: () => createAnthropic({ baseURL: base, apiKey })(name),
}[provider]();

const asked = [];
const weather = tool({
  description: "The weather of a town",
  inputSchema: z.object({ town: z.string() }),
  execute: async ({ town }) => {
    asked.push(town);
    return `Rain in ${town}`;
  },
});

const messages = [];

async function ask(options) {
  const whole = { model, maxRetries: 0, ...options };
  return streamed === "true" ? streamText(whole) : await generateText(whole);
}

async function turn(text) {
  messages.push({ role: "user", content: text });
  const result = await ask({ messages, tools: { weather }, stopWhen: isStepCount(5) });
  const said = await result.text;
  messages.push(...(await result.responseMessages));
  return { said, reasoning: await result.reasoningText, finish: await result.finishReason };
}

const turns = [await turn("Weather in Oslo?"), await turn("And what did I ask?")];
const schema = z.object({ town: z.string() });
const structured = await ask({ prompt: "Which town?", output: Output.object({ schema }) });
console.log(JSON.stringify({ turns, asked, output: await structured.output }));
