"""langchain-openai: `batch` with so many calls at once."""

import time

from langchain_openai import ChatOpenAI
from task import MODEL, arguments, asked, finish, messages


def main() -> None:
    given = arguments()
    model = ChatOpenAI(model=MODEL, base_url=given.url, api_key="none", temperature=0)
    questions = asked(given.examples)
    started = time.perf_counter()
    replies = model.batch(
        [messages(question) for question, _ in questions],
        config={"max_concurrency": given.concurrency},
    )
    right = sum(
        str(reply.content).strip() == reference
        for reply, (_, reference) in zip(replies, questions, strict=True)
    )
    finish(
        given.examples,
        right,
        time.perf_counter() - started,
        "langchain-openai",
        "langchain-core",
        "openai",
    )


if __name__ == "__main__":
    main()
